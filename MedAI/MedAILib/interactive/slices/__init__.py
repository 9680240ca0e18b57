"""Networks that answer prompts slice by slice: SAM, SPPNet, Mammo-SAM and PE-MED, with weights that users bring."""
