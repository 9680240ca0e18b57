"""SAM's parts have the public checkpoints' parameters and do what the published architecture says."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from MedAILib.networks.sam import Sam
from MedAILib.networks.sam.layers import joined, windows
from MedAILib.networks.sam.mask_decoder import MaskDecoder
from MedAILib.networks.sam.prompt_encoder import INSIDE, NO_POINT, OUTSIDE, PromptEncoder
from MedAILib.networks.sam.tiny_vit import TinyViT
from MedAILib.networks.sam.vit import ViTEncoder
from Unit.registration_tools import single_thread

SMALL_VIT = {"channels": 16, "depth": 2, "heads": 2, "whole": [1], "window": 3}
SMALL_TINY = {"widths": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "heads": [2, 3, 4], "sides": [3, 4, 3]}


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


def pair(name, *shape):
    """A weight and its bias, which has the first size."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def conv_norm(name, *shape):
    norm = {f"{name}.bn.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.c.weight": shape, **norm, f"{name}.bn.num_batches_tracked": ()}


def neck_of(name, channels):
    return {
        f"{name}.0.weight": (256, channels, 1, 1),
        **pair(f"{name}.1", 256),
        f"{name}.2.weight": (256, 256, 3, 3),
        **pair(f"{name}.3", 256),
    }


def published_vit(channels, depth, heads, whole):
    """Names and shapes as the public checkpoints of SAM have them."""
    at = "image_encoder"
    found = {f"{at}.pos_embed": (1, 64, 64, channels), **pair(f"{at}.patch_embed.proj", channels, 3, 16, 16)}
    for number in range(depth):
        block, head = f"{at}.blocks.{number}", channels // heads
        side = 127 if number in whole else 27
        found |= {f"{block}.attn.rel_pos_h": (side, head), f"{block}.attn.rel_pos_w": (side, head)}
        found |= pair(f"{block}.norm1", channels) | pair(f"{block}.norm2", channels)
        found |= pair(f"{block}.attn.qkv", 3 * channels, channels) | pair(f"{block}.attn.proj", channels, channels)
        found |= pair(f"{block}.mlp.lin1", 4 * channels, channels) | pair(f"{block}.mlp.lin2", channels, 4 * channels)
    return found | neck_of(f"{at}.neck", channels)


def published_tiny_vit():
    """The same for MobileSAM's, without ``norm_head`` and ``head``, its classifier."""
    at = "image_encoder"
    found = conv_norm(f"{at}.patch_embed.seq.0", 32, 3, 3, 3) | conv_norm(f"{at}.patch_embed.seq.2", 64, 32, 3, 3)
    for number in range(2):
        block = f"{at}.layers.0.blocks.{number}"
        found |= conv_norm(f"{block}.conv1", 256, 64, 1, 1) | conv_norm(f"{block}.conv2", 256, 1, 3, 3)
        found |= conv_norm(f"{block}.conv3", 64, 256, 1, 1)
    stages = ((128, 2, 4, 49), (160, 6, 5, 196), (320, 2, 10, 49))
    for stage, (c, depth, heads, biases) in enumerate(stages, 1):
        for number in range(depth):
            block = f"{at}.layers.{stage}.blocks.{number}"
            found |= {f"{block}.attn.attention_biases": (heads, biases)}
            found |= pair(f"{block}.attn.norm", c) | pair(f"{block}.mlp.norm", c)
            found |= pair(f"{block}.attn.qkv", 3 * c, c) | pair(f"{block}.attn.proj", c, c)
            found |= pair(f"{block}.mlp.fc1", 4 * c, c) | pair(f"{block}.mlp.fc2", c, 4 * c)
            found |= conv_norm(f"{block}.local_conv", c, 1, 3, 3)
    for stage, (before, after) in enumerate(((64, 128), (128, 160), (160, 320))):
        merge = f"{at}.layers.{stage}.downsample"
        found |= conv_norm(f"{merge}.conv1", after, before, 1, 1) | conv_norm(f"{merge}.conv2", after, 1, 3, 3)
        found |= conv_norm(f"{merge}.conv3", after, after, 1, 1)
    return found | neck_of(f"{at}.neck", 320)


def published_rest():
    """Prompt encoder and mask decoder, the same for all."""
    at = "prompt_encoder"
    found = {f"{at}.pe_layer.positional_encoding_gaussian_matrix": (2, 128)}
    embeddings = ["not_a_point_embed", "no_mask_embed", *(f"point_embeddings.{n}" for n in range(4))]
    found |= {f"{at}.{name}.weight": (1, 256) for name in embeddings}
    sizes = {0: (4, 1, 2, 2), 1: (4,), 3: (16, 4, 2, 2), 4: (16,), 6: (256, 16, 1, 1)}
    for number, shape in sizes.items():
        found |= pair(f"{at}.mask_downscaling.{number}", *shape)
    at = "mask_decoder"
    found |= {f"{at}.iou_token.weight": (1, 256), f"{at}.mask_tokens.weight": (4, 256)}
    attentions = {f"{at}.transformer.final_attn_token_to_image": 128}
    for layer in (f"{at}.transformer.layers.{n}" for n in range(2)):
        attentions |= {f"{layer}.self_attn": 256}
        attentions |= {f"{layer}.cross_attn_{way}": 128 for way in ("token_to_image", "image_to_token")}
        found |= pair(f"{layer}.mlp.lin1", 2048, 256) | pair(f"{layer}.mlp.lin2", 256, 2048)
        for number in range(1, 5):
            found |= pair(f"{layer}.norm{number}", 256)
    for name, inner in attentions.items():
        for part in "qkv":
            found |= pair(f"{name}.{part}_proj", inner, 256)
        found |= pair(f"{name}.out_proj", 256, inner)
    found |= pair(f"{at}.transformer.norm_final_attn", 256) | pair(f"{at}.output_upscaling.1", 64)
    for number, before, after in ((0, 256, 64), (3, 64, 32)):  # transposed: the bias has the second size
        found |= {f"{at}.output_upscaling.{number}.weight": (before, after, 2, 2)}
        found |= {f"{at}.output_upscaling.{number}.bias": (after,)}
    heads = {f"{at}.output_hypernetworks_mlps.{n}": 32 for n in range(4)} | {f"{at}.iou_prediction_head": 4}
    for name, last in heads.items():
        for number, after in enumerate((256, 256, last)):
            found |= pair(f"{name}.layers.{number}", after, 256)
    return found


def count(module):
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(
    ("encoder", "published", "parameters"),
    [
        ("vit_b", published_vit(768, 12, 12, (2, 5, 8, 11)), 89_670_912),
        ("vit_l", published_vit(1024, 24, 16, (5, 11, 17, 23)), 308_278_272),
        ("vit_h", published_vit(1280, 32, 16, (7, 15, 23, 31)), 637_026_048),
        ("vit_t", published_tiny_vit(), 5_743_892),
    ],
)
def test_names_and_shapes_are_those_of_the_public_checkpoints(encoder, published, parameters):
    with torch.device("meta"):
        network = Sam(encoder)
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert found == published | published_rest()
    assert count(network.image_encoder) == parameters
    assert count(network.prompt_encoder) + count(network.mask_decoder) == 6_220 + 4_058_340


def test_windows_are_cut_row_by_row_and_joined_again():
    x = torch.arange(2 * 5 * 7).reshape(2, 5, 7, 1).float()
    cut = windows(x, 3)
    assert cut.shape == (2 * 2 * 3, 3, 3, 1)
    assert (cut[1, :, :, 0] == x[0, :3, 3:6, 0]).all() and cut[2, 0, 1:].sum() == 0 and cut[3, 2].sum() == 0
    assert (joined(cut, (5, 7)) == x).all()


def test_attention_knows_how_far_apart_tokens_are_in_rows_and_in_columns():
    torch.manual_seed(0)
    attention = ViTEncoder(48, 8, **SMALL_VIT).blocks[1].attn  # of the whole image, 3 x 3 tokens
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 3, 3, 16)
    query, key, value = attention.qkv(x).reshape(9, 3, 2, 8).unbind(1)
    wanted = torch.zeros(9, 2, 8)
    for head in range(2):
        for a in range(9):
            scores = torch.zeros(9)
            for b in range(9):
                down, across = a // 3 - b // 3 + 2, a % 3 - b % 3 + 2
                q = query[a, head]
                scores[b] = q @ key[b, head] / math.sqrt(8)
                scores[b] += q @ attention.rel_pos_h[down] + q @ attention.rel_pos_w[across]
            wanted[a, head] = torch.softmax(scores, 0) @ value[:, head]
    assert torch.allclose(attention(x)[0].reshape(9, 16), attention.proj(wanted.flatten(1)), atol=1e-4)


def test_only_blocks_of_the_whole_image_carry_a_change_beyond_its_window():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    other = x.clone()
    other[..., :16, :16] += 1.0

    def reach(whole):
        """Which tokens of 4 x 4 change; windows have 3."""
        torch.manual_seed(0)
        encoder = ViTEncoder(64, 8, **{**SMALL_VIT, "whole": whole, "depth": 1})
        encoder.neck = torch.nn.Identity()
        return ((encoder(x) - encoder(other)).abs().sum(1)[0] > 1e-6).tolist()

    assert reach([]) == [[True, True, True, False]] * 3 + [[False] * 4]
    assert reach([0]) == [[True] * 4] * 4


def test_adapters_add_to_the_tokens_before_each_block():
    torch.manual_seed(0)
    encoder, x = ViTEncoder(64, 8, **SMALL_VIT), torch.randn(1, 3, 64, 64)
    nothing = [torch.nn.Conv2d(16, 16, 1) for _ in range(2)]
    for each in nothing:
        torch.nn.init.zeros_(each.weight), torch.nn.init.zeros_(each.bias)
    assert torch.equal(encoder(x, nothing), encoder(x))
    torch.nn.init.constant_(nothing[0].bias, 0.5)
    moved = ViTEncoder(64, 8, **SMALL_VIT)
    moved.load_state_dict(encoder.state_dict())
    moved.pos_embed.data += 0.5  # the same as an addition before the first block
    assert torch.allclose(encoder(x, nothing), moved(x), atol=1e-6)


def test_tiny_vit_ends_at_a_sixteenth_and_its_biases_tell_distances():
    torch.manual_seed(0)
    encoder = TinyViT(64, 24, **SMALL_TINY).eval()
    assert encoder(torch.randn(2, 3, 64, 64)).shape == (2, 24, 4, 4)
    attention = encoder.layers[1].blocks[0].attn
    attention.attention_biases.data[0] = torch.arange(9.0)
    bias = attention.attention_biases[0][attention._distances(torch.device("cpu"))]
    assert bias[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8] and bias[4].tolist() == [4, 3, 4, 1, 0, 1, 4, 3, 4]


def test_points_are_sines_and_cosines_of_their_place_and_their_kind():
    torch.manual_seed(0)
    encoder = PromptEncoder(8, 64, 4)
    points = torch.tensor([[[10.0, 20.0], [30.0, 5.0], [1.0, 2.0]]])
    tokens, added = encoder(points, torch.tensor([[INSIDE, OUTSIDE, NO_POINT]]))
    assert tokens.shape == (1, 4, 8) and added.shape == (1, 8, 4, 4)
    frequencies = encoder.pe_layer.positional_encoding_gaussian_matrix
    angles = 2 * math.pi * ((2 * (10.5 / 64) - 1) * frequencies[0] + (2 * (20.5 / 64) - 1) * frequencies[1])
    wanted = torch.cat([angles.sin(), angles.cos()])
    assert torch.allclose(tokens[0, 0], wanted + encoder.point_embeddings[1].weight[0], atol=1e-5)
    nothing = encoder.not_a_point_embed.weight[0]
    assert torch.equal(tokens[0, 2], nothing) and torch.equal(tokens[0, 3], nothing)  # the last one fills up
    assert torch.equal(added[0, :, 1, 2], encoder.no_mask_embed.weight[0])
    place = encoder.pe_layer(torch.tensor([(2 + 0.5) / 4, (1 + 0.5) / 4]))  # column 2, row 1
    assert torch.allclose(encoder.places()[0, :, 1, 2], place)


def test_a_box_is_two_tokens_and_a_mask_is_added_to_the_image():
    torch.manual_seed(0)
    encoder = PromptEncoder(8, 64, 4)
    points, labels = torch.tensor([[[10.0, 20.0]]]), torch.tensor([[INSIDE]])
    tokens, added = encoder(points, labels, torch.tensor([[3.0, 4.0, 50.0, 60.0]]), torch.randn(1, 1, 16, 16))
    assert tokens.shape == (1, 3, 8) and added.shape == (1, 8, 4, 4)
    corner = encoder.pe_layer(torch.tensor([50.5 / 64, 60.5 / 64])) + encoder.point_embeddings[3].weight[0]
    assert torch.allclose(tokens[0, 2], corner)
    assert not torch.equal(added[0, :, 0, 0], encoder.no_mask_embed.weight[0])


def test_masks_are_products_of_their_tokens_and_the_grown_features():
    torch.manual_seed(0)
    decoder = MaskDecoder(16, 2, 32)
    image, places, tokens, added = (
        torch.randn(2, 16, 4, 4), torch.randn(1, 16, 4, 4), torch.randn(2, 3, 16), torch.randn(2, 16, 4, 4)
    )  # fmt: skip
    logits, quality = decoder(image, places, tokens, added)
    found, grown = decoder.features(image, places, tokens, added)
    assert logits.shape == (2, 4, 16, 16) and quality.shape == (2, 4) and grown.shape == (2, 2, 16, 16)
    color = decoder.output_hypernetworks_mlps[2](found[1, 3])
    assert torch.allclose(logits[1, 2], (color[:, None, None] * grown[1]).sum(0), atol=1e-6)
    shuffled = tokens[:, [2, 0, 1]]  # prompts have no order
    assert torch.allclose(decoder(image, places, shuffled, added)[0], logits, atol=1e-5)


def test_one_embedding_serves_several_prompts():
    torch.manual_seed(0)
    network = Sam("vit_b", 64, 16, SMALL_VIT).eval()
    image = torch.randn(1, 3, 64, 64)
    points = torch.tensor([[[10.0, 20.0]], [[40.0, 50.0]]])
    labels = torch.ones(2, 1, dtype=torch.long)
    both, _ = network.answer(network.embed(image), points, labels)
    assert both.shape == (2, 4, 16, 16)
    assert torch.allclose(both[1:], network(image, points[1:], labels[1:]), atol=1e-5)
    assert not torch.allclose(both[0], both[1])


def test_an_image_can_be_learned_from_one_click():
    """The whole network has gradients: a few steps make it draw the disk that is clicked on."""
    torch.manual_seed(0)
    network = Sam("vit_t", 64, 16, SMALL_TINY)
    away = (torch.arange(64)[:, None] - 40) ** 2 + (torch.arange(64)[None] - 24) ** 2
    disk = (away < 150).float()
    image, target = disk.expand(1, 3, -1, -1), functional.avg_pool2d(disk[None, None], 4)
    points, labels = torch.tensor([[[24.0, 40.0]]]), torch.tensor([[INSIDE]])
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(30):
        loss = functional.binary_cross_entropy_with_logits(network(image, points, labels)[:, :1], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
