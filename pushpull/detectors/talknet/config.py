"""TalkNet's dimensions, stored with every checkpoint."""

from dataclasses import asdict, dataclass, fields

EMBEDDING = 128  # width of e_a, e_v, z_a and z_v in every size, so that AVIL and ECR compare across sizes

VARIANTS = {
    "talknet": {"audio_features": "mfcc", "cross_attention": True},
    "nctalknet": {"audio_features": "mfcc", "cross_attention": False},
    "spectalknet": {"audio_features": "spectrogram", "cross_attention": True},
}


@dataclass(frozen=True, kw_only=True)
class TalkNetConfig:
    """What fixes the architecture, so that a checkpoint rebuilds its own network.

    Args:
        size: "full", exactly the official network, or "lite". Widths left out are those of the size.
        audio_features: "mfcc", or "spectrogram" (specTalkNet).
        cross_attention: False leaves z = e (ncTalkNet).
        stem_kernel, stem_stride: the visual stem's spatial kernel and stride in pixels; in time it is 5 x 1.
        stem_pool: whether a 3x3 maximum of stride 2 follows the stem.
        visual_widths: channels of the stem, then of each residual layer.
        visual_strides: one per residual layer.
        tcn_blocks: depthwise-separable temporal blocks after the visual front-end.
        visual_hidden: channels between the two last temporal convolutions of the visual branch.
        audio_widths, audio_blocks: channels and number of blocks of the four SE-ResNet layers.
        feedforward: hidden width of the attention layers' feed-forward part, per unit of their own width.

    Raises:
        ValueError: unknown size or front-end, or widths that do not fit together.
        TypeError: unknown key.
    """

    size: str = "full"
    audio_features: str = "mfcc"
    cross_attention: bool = True
    stem_kernel: int | None = None
    stem_stride: int | None = None
    stem_pool: bool | None = None
    visual_widths: tuple[int, ...] | None = None
    visual_strides: tuple[int, ...] | None = None
    tcn_blocks: int | None = None
    visual_hidden: int | None = None
    audio_widths: tuple[int, ...] | None = None
    audio_blocks: tuple[int, ...] | None = None
    feedforward: int | None = None

    def __post_init__(self):
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {self.size!r}")
        if self.audio_features not in ("mfcc", "spectrogram"):
            raise ValueError(f"audio_features must be mfcc or spectrogram, got {self.audio_features!r}")
        for name, value in SIZES[self.size].items():
            given = getattr(self, name)
            given = value if given is None else given
            object.__setattr__(self, name, tuple(given) if isinstance(value, tuple) else given)
        if len(self.visual_widths) != len(self.visual_strides) + 1:
            raise ValueError(
                f"visual_widths {self.visual_widths} must name the stem and one layer per stride {self.visual_strides}"
            )
        if any(
            stride == 1 and before != after
            for before, after, stride in zip(
                self.visual_widths, self.visual_widths[1:], self.visual_strides, strict=False
            )
        ):
            raise ValueError(f"a visual layer of stride 1 keeps its width, got {self.visual_widths}")
        if len(self.audio_widths) != 4 or len(self.audio_blocks) != 4 or self.audio_widths[-1] != EMBEDDING:
            raise ValueError(f"audio needs four layers, the last of width {EMBEDDING}, got {self.audio_widths}")

    @classmethod
    def from_dict(cls, values: dict) -> "TalkNetConfig":
        """The inverse of :meth:`to_dict`; raises ValueError naming unknown keys."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown TalkNetConfig keys: {', '.join(unknown)}")
        return cls(**values)

    @classmethod
    def named(cls, variant: str, size: str = "full") -> "TalkNetConfig":
        """The configuration of a variant: "talknet", "nctalknet" or "spectalknet"."""
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        return cls(size=size, **VARIANTS[variant])

    @property
    def variant(self) -> str:
        """The variant's name; "custom" for a combination the paper does not name."""
        chosen = {"audio_features": self.audio_features, "cross_attention": self.cross_attention}
        return next((name for name, options in VARIANTS.items() if options == chosen), "custom")

    def to_dict(self) -> dict:
        """Values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


SIZES = {
    "full": {
        "stem_kernel": 7,
        "stem_stride": 2,
        "stem_pool": True,
        "visual_widths": (64, 64, 128, 256, 512),
        "visual_strides": (1, 2, 2, 2),
        "tcn_blocks": 5,
        "visual_hidden": 256,
        "audio_widths": (16, 32, 64, 128),
        "audio_blocks": (3, 4, 6, 3),
        "feedforward": 4,
    },
    "lite": {
        "stem_kernel": 7,
        "stem_stride": 4,
        "stem_pool": False,
        "visual_widths": (16, 32, 64, 96),
        "visual_strides": (2, 2, 2),
        "tcn_blocks": 6,
        "visual_hidden": 96,
        "audio_widths": (16, 32, 40, 128),
        "audio_blocks": (1, 1, 1, 1),
        "feedforward": 1,
    },
}
