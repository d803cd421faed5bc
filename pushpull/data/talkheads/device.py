"""OpenGL off screen: a context (EGL, with or without a GPU), programs from ``glsl/``, meshes, the noise volume.

Mesa's llvmpipe draws on the CPU where there is no GPU. Nothing here is imported before a picture is wanted.
"""

from pathlib import Path

import numpy as np

GLSL = Path(__file__).with_name("glsl")
PROGRAMS = {  # name -> vertex stage, fragment stage
    "skin": ("surface.vert", "skin.frag"),
    "cloth": ("surface.vert", "cloth.frag"),
    "fur": ("surface.vert", "fur.frag"),
    "thing": ("surface.vert", "thing.frag"),
    "eye": ("surface.vert", "eye.frag"),
    "strand": ("strand.vert", "strand.frag"),
    "depth": ("surface.vert", "depth.frag"),
    "strand_depth": ("strand.vert", "strand_depth.frag"),
    "backdrop": ("backdrop.vert", "backdrop.frag"),
}
LIT = ("skin", "cloth", "fur", "thing", "eye", "strand")  # those that need the lights


class RenderError(RuntimeError):
    """No picture can be drawn here; the message says what to install."""


def open_context():
    """A headless OpenGL 3.3 context.

    Raises:
        RenderError: moderngl or the EGL libraries are missing.
    """
    try:
        import moderngl
    except ImportError as error:
        raise RenderError("drawing talking heads needs moderngl: pip install 'pushpull[heads]'") from error
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)
    except Exception as error:  # moderngl raises a bare Exception, glcontext an ImportError
        raise RenderError(
            "no OpenGL without a screen on this machine: apt-get install libegl1 libgl1-mesa-dri "
            f"(the driver said: {error})"
        ) from error


def source(stage: str, *, coarse: bool) -> str:
    """The text of one stage, complete: version line, the lighting model where it is lit, the stage itself.

    ``coarse`` leaves out what a small picture does not show.
    """
    lighting = (GLSL / "lighting.glsl").read_text() if stage.removesuffix(".frag") in LIT else ""
    return "#version 330\n" + ("#define COARSE\n" if coarse else "") + lighting + (GLSL / stage).read_text()


class Program:
    """A linked program whose absent uniforms are skipped: compilers drop those that a stage does not use."""

    def __init__(self, context, name: str, *, coarse: bool = False):
        vertex, fragment = PROGRAMS[name]
        self.program = context.program(
            vertex_shader=source(vertex, coarse=coarse), fragment_shader=source(fragment, coarse=coarse)
        )
        self.names = set(self.program)

    def set(self, **values) -> None:
        """Uniforms by name: ints stay ints, square arrays are matrices of rows, the rest are float vectors."""
        for name, value in values.items():
            if name not in self.names:
                continue
            uniform = self.program[name]
            if isinstance(value, (int, np.integer)):
                uniform.value = int(value)
                continue
            array = np.asarray(value, np.float32)
            if array.ndim == 2 and uniform.array_length == 1:
                array = array.T  # a matrix: OpenGL reads columns
            uniform.write(np.ascontiguousarray(array).tobytes())


class Mesh:
    """A drawable's buffers. ``layouts`` are (buffer, format, attribute names), as moderngl reads them."""

    def __init__(self, context, programs: dict[str, Program], layouts, triangles: np.ndarray):
        self._context = context
        self.index = context.buffer(np.ascontiguousarray(triangles, np.int32).tobytes())
        self.arrays = {
            use: context.vertex_array(
                program.program,
                [(buffer, formats, *names) for buffer, formats, names in layouts],
                self.index,
                skip_errors=True,  # a stage may not use every attribute
            )
            for use, program in programs.items()
        }

    def draw(self, use: str) -> None:
        self.arrays[use].render()

    def draw_front(self, use: str) -> None:
        """Only the triangles that face the camera: enough for a closed surface, and a tenth of a frame cheaper."""
        self._context.enable(self._context.CULL_FACE)
        self.arrays[use].render()
        self._context.disable(self._context.CULL_FACE)

    def release(self) -> None:
        for array in self.arrays.values():
            array.release()
        self.index.release()


def noise_volume(size: int = 32) -> np.ndarray:
    """A fixed, tileable volume of four independent noises, (size, size, size, 4) uint8."""
    rng = np.random.default_rng(12345)
    raw = rng.uniform(0, 1, (size, size, size, 4))
    ranks = np.argsort(np.argsort(raw, axis=None)) / raw.size  # equalised: the shaders' thresholds read as shares
    return (ranks.reshape(raw.shape) * 255).astype(np.uint8)
