"""Draw heads into pictures, off screen."""

import cv2
import numpy as np

from pushpull.data.talkheads import materials
from pushpull.data.talkheads.actor import AMBIENT_SIZE, COARSE, COARSE_BELOW, FINE, Actor
from pushpull.data.talkheads.camera import Light, Pose, View, look_at, orthographic
from pushpull.data.talkheads.device import LIT, PROGRAMS, Program, RenderError, noise_volume, open_context
from pushpull.data.talkheads.head import Head

__all__ = ["Actor", "Light", "Pose", "RenderError", "Renderer", "View"]


class Renderer:
    """Draws a scene of heads into RGB pictures. One per process; a context manager, or call :meth:`release`.

    Args:
        width, height: pixels of the finished picture.
        oversample: the scene is drawn this many times larger and averaged down.

    Raises:
        RenderError: moderngl or the EGL libraries are missing; the message has the pip or apt line.
    """

    def __init__(self, width: int, height: int, *, oversample: int = 2):
        import moderngl

        self.size, self.oversample = (width, height), oversample
        self.detail = COARSE if height * oversample < COARSE_BELOW else FINE
        self._gl = moderngl
        context = self.context = open_context()
        self.programs = {name: Program(context, name, coarse=self.detail is COARSE) for name in PROGRAMS}
        large = (width * oversample, height * oversample)
        self.frame = context.framebuffer([context.texture(large, 3)], context.depth_renderbuffer(large))
        self.shadow = context.depth_texture((self.detail.shadow, self.detail.shadow))
        self.shadow.compare_func = "<="
        self.shadow.repeat_x = self.shadow.repeat_y = False
        self.shadow_frame = context.framebuffer(depth_attachment=self.shadow)
        self.ambient = context.depth_texture((AMBIENT_SIZE, AMBIENT_SIZE))
        self.ambient.compare_func = ""
        self.ambient_frame = context.framebuffer(depth_attachment=self.ambient)
        self.noise = context.texture3d((32, 32, 32), 4, noise_volume().tobytes())
        self.noise.filter = (moderngl.LINEAR, moderngl.LINEAR)
        corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.quad = context.vertex_array(self.programs["backdrop"].program, [(corners, "2f", "in_corner")])
        self.picture = None

    def actor(self, head: Head) -> Actor:
        """Bring ``head`` onto the device; release it when its clip is done."""
        actor = Actor(self.context, self.programs, head, self.detail)
        rest = Pose(units=np.zeros(len(head.units), np.float32))

        def depth_picture(matrix):
            self._depth_pass(self.ambient_frame, [(actor, rest)], matrix)
            return np.frombuffer(self.ambient.read(alignment=1), np.float32).reshape(AMBIENT_SIZE, AMBIENT_SIZE)

        actor.bake_ambient(depth_picture)
        return actor

    def backdrop(self, picture: np.ndarray) -> None:
        """Set the background, (h, w, 3) uint8; it is stretched over the frame."""
        if self.picture is not None:
            self.picture.release()
        height, width = picture.shape[:2]
        self.picture = self.context.texture((width, height), 3, np.ascontiguousarray(picture).tobytes(), alignment=1)
        self.picture.filter = (self._gl.LINEAR, self._gl.LINEAR)

    def draw(self, cast: list[tuple[Actor, Pose]], view: View, light: Light) -> np.ndarray:
        """One frame, (H, W, 3) uint8 RGB.

        Args:
            cast: the heads and how each is posed; all made by this renderer.
        """
        for actor, pose in cast:
            actor.pose(pose)
        ways = np.array([np.asarray(way, float) / np.linalg.norm(way) for way in light.ways])
        shadow_camera = self._shadow_camera(cast, ways[0])
        self._depth_pass(self.shadow_frame, cast, shadow_camera)
        width, height = self.size
        camera, eye = view.matrix(width / height)
        self.frame.use()
        self.frame.clear(0.3, 0.3, 0.3, depth=1.0)
        self.context.enable_only(self._gl.DEPTH_TEST)
        self.shadow.use(0)
        self.noise.use(1)
        for key in LIT:
            self.programs[key].set(
                camera=camera,
                eye=eye,
                light_way=ways,
                light_colour=np.asarray(light.colours, float),
                sky=np.asarray(light.sky),
                ground=np.asarray(light.ground),
                shadow_camera=shadow_camera,
                shadow_step=4 / 512,
                shadow_map=0,
                noise=1,
                exposure=light.exposure,
            )
        for actor, pose in cast:
            materials.draw(self.programs, actor, pose)
        if self.picture is not None:  # last, at the far plane: only where nothing was drawn
            self.picture.use(2)
            self.programs["backdrop"].set(picture=2)
            self.quad.render(self._gl.TRIANGLE_STRIP)
        shape = (height * self.oversample, width * self.oversample, 3)
        raw = np.frombuffer(self.frame.read(components=3, alignment=1), np.uint8).reshape(shape)[::-1]
        return raw.copy() if self.oversample == 1 else cv2.resize(raw, self.size, interpolation=cv2.INTER_AREA)

    def _depth_pass(self, frame, cast, camera: np.ndarray) -> None:
        frame.use()
        frame.clear(depth=1.0)
        self.context.enable_only(self._gl.DEPTH_TEST)
        for actor, pose in cast:
            materials.cast_shadow(self.programs, actor, pose, camera)

    def _shadow_camera(self, cast, way: np.ndarray) -> np.ndarray:
        places = np.array([pose.place for _, pose in cast], float)
        middle = places.mean(0) + (0, -0.2, 0)
        reach = 2.1 + np.ptp(places[:, 0]) / 2
        return orthographic(reach, min(reach, 2.6), 0.1, 30.0) @ look_at(middle + way * 15, middle)

    def release(self) -> None:
        """Close the context and give its memory back; the renderer and its actors are of no use afterwards."""
        self.context.release()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *_) -> None:
        self.release()
