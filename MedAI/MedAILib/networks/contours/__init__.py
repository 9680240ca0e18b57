"""Closed contours in pictures as elliptic Fourier series: (..., 2 + 4 N) numbers, the center's x and y and a, b, c, d
of each order, in pixels; x runs along columns (i), y along rows (j), and pixel centers are whole numbers.
"""
