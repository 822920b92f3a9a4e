"""SAM's shapes, official and compact, built from `segment_anything.modeling`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from msgspec import Meta
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

# Mean and spread of the 8-bit RGB images that the official encoders were trained on.
_PIXEL_MEAN = (123.675, 116.28, 103.53)
_PIXEL_STD = (58.395, 57.12, 57.375)

_Width = Annotated[int, Meta(ge=8, le=4096, multiple_of=8)]


@dataclass(frozen=True)
class SamShape:
    """Sizes that make a SAM.

    Attributes:
        image_size: side of the square that the encoder sees, in pixels.
        width: channels of an encoder token.
        depth: blocks of the encoder.
        heads: attention heads of a block.
        global_blocks: indexes of blocks that attend over the whole image.
        window: side of the attention window of the other blocks, in tokens.
        prompt_width: channels of the image embedding and of the decoder.
        decoder_hidden: hidden channels of the decoder's MLP.
        mlp_ratio: hidden over outer channels of the encoder's MLP.
    """

    image_size: Annotated[int, Meta(ge=16, le=2048, multiple_of=16)]
    width: _Width
    depth: Annotated[int, Meta(ge=1, le=64)]
    heads: Annotated[int, Meta(ge=1, le=64)]
    global_blocks: tuple[int, ...]
    window: Annotated[int, Meta(ge=1, le=128)] = 14
    prompt_width: _Width = 256
    decoder_hidden: Annotated[int, Meta(ge=1, le=1 << 16)] = 2048
    mlp_ratio: Annotated[float, Meta(ge=0.125, le=16)] = 4.0

    def __post_init__(self) -> None:
        """Refuse a shape of which no SAM can be built.

        Raises:
            ValueError: the channels cannot be divided between the heads.
        """
        if self.width % self.heads:
            raise ValueError(f"{self.width} channels cannot be divided between {self.heads} heads")

    @property
    def grid(self) -> int:
        """Tokens along a side of the image embedding; a token is 16 pixels wide."""
        return self.image_size // 16


OFFICIAL: dict[str, SamShape] = {
    "sam-vit-b": SamShape(1024, 768, 12, 12, (2, 5, 8, 11)),
    "sam-vit-l": SamShape(1024, 1024, 24, 16, (5, 11, 17, 23)),
    "sam-vit-h": SamShape(1024, 1280, 32, 16, (7, 15, 23, 31)),
}


def build_sam(shape: SamShape) -> Sam:
    """Build a SAM with random weights, in evaluation mode.

    Source: Kirillov et al., Segment Anything, 2023; sizes as in the authors' `build_sam`.
    """
    sam = Sam(
        image_encoder=_encoder(shape),
        prompt_encoder=PromptEncoder(
            embed_dim=shape.prompt_width,
            image_embedding_size=(shape.grid, shape.grid),
            input_image_size=(shape.image_size, shape.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=_decoder(shape),
        pixel_mean=list(_PIXEL_MEAN),
        pixel_std=list(_PIXEL_STD),
    )
    return sam.eval()


def _encoder(shape: SamShape) -> ImageEncoderViT:
    return ImageEncoderViT(
        img_size=shape.image_size,
        embed_dim=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        mlp_ratio=shape.mlp_ratio,
        out_chans=shape.prompt_width,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=shape.window,
        global_attn_indexes=shape.global_blocks,
    )


def _decoder(shape: SamShape) -> MaskDecoder:
    return MaskDecoder(
        transformer_dim=shape.prompt_width,
        transformer=TwoWayTransformer(
            depth=2,
            embedding_dim=shape.prompt_width,
            num_heads=8,
            mlp_dim=shape.decoder_hidden,
        ),
        iou_head_hidden_dim=shape.prompt_width,
    )


def build_empty(shape: SamShape) -> Sam:
    """Build a SAM without storage for its weights; `load_state_dict(assign=True)` gives it some."""
    with torch.device("meta"):
        sam = build_sam(shape)
    for name, values in (("pixel_mean", _PIXEL_MEAN), ("pixel_std", _PIXEL_STD)):
        sam.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return sam
