"""Draw heads with OpenGL, off screen: EGL, with or without a GPU (Mesa's llvmpipe draws it on the CPU)."""

from dataclasses import dataclass

import numpy as np

from pushpull.data.talkheads import hair, shaders, wear
from pushpull.data.talkheads.camera import Light, View, linear, look_at, orthographic, turn
from pushpull.data.talkheads.head import Head, scalp_height

SHADOW_SIZE = 512
AMBIENT_SIZE = 96
AMBIENT_WAYS = 40  # directions that the ambient occlusion of each vertex is averaged over


class RenderError(RuntimeError):
    """No picture can be drawn here; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """One frame of one head.

    Args:
        units: (52,) face unit weights, in Head.units' order.
        yaw, pitch, roll: the head's turn on the neck, radians. shift: (3,) dm.
        body_yaw: the whole bust. place: (3,) dm, where the head's origin stands.
        gaze: (yaw, pitch) of the eyes, radians. sway: (3,) dm, how far long hair's tips lag.
    """

    units: np.ndarray
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple = (0.0, 0.0, 0.0)
    body_yaw: float = 0.0
    place: tuple = (0.0, 0.0, 0.0)
    gaze: tuple = (0.0, 0.0)
    sway: tuple = (0.0, 0.0, 0.0)


def _noise_volume(size: int = 32) -> np.ndarray:
    """A fixed, tileable volume of four independent noises, (size, size, size, 4) uint8."""
    rng = np.random.default_rng(12345)
    raw = rng.uniform(0, 1, (size, size, size, 4))
    flat = np.sort(raw.ravel())  # equalised: the shaders' thresholds read as shares
    ranks = np.searchsorted(flat, raw.ravel()) / raw.size
    return (ranks.reshape(raw.shape) * 255).astype(np.uint8)


def open_context():
    """A headless OpenGL 3.3 context.

    Raises:
        RenderError: moderngl or the EGL libraries are missing.
    """
    try:
        import moderngl
    except ImportError as error:
        raise RenderError(
            "drawing talking heads needs moderngl: pip install -r requirements-talkheads.txt"
        ) from error
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)
    except Exception as error:
        raise RenderError(
            "no OpenGL without a screen on this machine: apt-get install libegl1 libgl1-mesa-dri "
            f"(the driver said: {error})"
        ) from error


class _Program:
    """A linked program whose absent uniforms are skipped: compilers drop those that a stage does not use."""

    def __init__(self, context, vertex: str, fragment: str):
        self.program = context.program(vertex_shader=vertex, fragment_shader=fragment)
        self.names = set(self.program)

    def set(self, **values) -> None:
        for name, value in values.items():
            if name not in self.names:
                continue
            uniform = self.program[name]
            if isinstance(value, (int, np.integer)):
                uniform.value = int(value)
            else:
                array = np.asarray(value, np.float32)
                if array.ndim == 2 and array.shape[0] == array.shape[1]:
                    array = array.T  # OpenGL reads columns
                uniform.write(np.ascontiguousarray(array).tobytes())


class _Mesh:
    """Buffers of one drawable; ``dynamic`` ones are refilled every frame."""

    def __init__(self, context, programs, data, formats, names, triangles):
        self.vertices = len(data)
        self.buffer = context.buffer(np.ascontiguousarray(data, np.float32).tobytes())
        self.index = context.buffer(np.ascontiguousarray(triangles, np.int32).tobytes())
        layout = [(self.buffer, formats, *names)]
        self.arrays = {
            key: context.vertex_array(program.program, layout, self.index, skip_errors=True)
            for key, program in programs.items()
        }

    def release(self):
        for array in self.arrays.values():
            array.release()
        self.buffer.release()
        self.index.release()


SKIN_LAYOUT = ("in_position", "in_normal"), ("in_template", "in_masks", "in_follow")
THING_LAYOUT = "3f 3f 3f 4f 3f", ("in_position", "in_normal", "in_template", "in_masks", "in_follow")
STRAND_LAYOUT = "3f 3f 3f 4f 1f", ("in_position", "in_normal", "in_tangent", "in_card", "in_ao")


class Actor:
    """A head's buffers on the device. Made by :meth:`Renderer.actor`; release it when done."""

    def __init__(self, renderer: "Renderer", head: Head):
        self.head, self.renderer = head, renderer
        context, programs = renderer.context, renderer.programs
        masks = np.stack([head.masks[name] for name in ("lips", "inside", "lids", "ears")], 1)
        count = len(head.rest)
        extra = _part_masks(head, masks)
        line = scalp_height(head.template, head.identity.hairline)
        follow = np.stack([head.masks["head"], np.ones(count), line], 1)
        self._static = np.concatenate([head.template, extra, follow], 1).astype(np.float32)
        self.dynamic = context.buffer(reserve=count * 24)
        self.static = context.buffer(self._static.tobytes())
        skin_faces = head.triangles["skin"]
        in_cloth = (head.template[skin_faces, 1] < 6.5).any(1)
        in_scalp = (head.masks["head"][skin_faces] > 0.2).any(1)
        parts = {name: head.triangles[name] for name in head.triangles}
        parts |= {"cloth": skin_faces[in_cloth], "fur": skin_faces[in_scalp]}
        uses = {
            "skin": ("skin", "depth"), "cloth": ("cloth", "depth"), "fur": ("fur",), "upper_teeth": ("thing",),
            "lower_teeth": ("thing",), "tongue": ("thing",), "upper_lashes": ("thing",), "lower_lashes": ("thing",),
        }  # fmt: skip
        self.parts = {}
        self._owned = [self.dynamic, self.static]
        for name, triangles in parts.items():
            index = context.buffer(np.ascontiguousarray(triangles, np.int32).tobytes())
            layout = [(self.dynamic, "3f 3f", *SKIN_LAYOUT[0]), (self.static, "3f 4f 3f", *SKIN_LAYOUT[1])]
            arrays = {
                use: context.vertex_array(programs[use].program, layout, index, skip_errors=True) for use in uses[name]
            }
            self.parts[name] = arrays
            self._owned += [index, *arrays.values()]
        self.eyes = {}
        for side, centre in head.eye_centre.items():
            data, triangles = wear.eyeball(centre, head.eye_radius)
            self.eyes[side] = _Mesh(context, {"eye": programs["eye"]}, data, *THING_LAYOUT, triangles)
        self.things = []
        for thing in wear.things(head):
            mesh = _Mesh(
                context, {"thing": programs["thing"], "depth": programs["depth"]}, thing.data, *THING_LAYOUT, thing.triangles
            )
            self.things.append((thing, mesh))
        self.cards = None
        grown = hair.grow(head)
        if grown is not None:
            self.card_data, triangles = grown
            use = {"strand": programs["strand"], "depth": programs["strand_depth"]}
            self.cards = _Mesh(context, use, self.card_data, *STRAND_LAYOUT, triangles)
        self._bake_ambient()

    def pose(self, pose: Pose) -> None:
        points, normals = self.head.posed(pose.units)
        self.dynamic.write(np.concatenate([points, normals], 1).astype(np.float32).tobytes())

    def _bake_ambient(self) -> None:
        """How much of the sky each vertex sees past skin, hair and hats, from depth pictures all around."""
        renderer, head = self.renderer, self.head
        rest = Pose(units=np.zeros(len(head.units), np.float32))
        self.pose(rest)
        sets = [(head.rest, head.rest_normals)]
        if self.cards:
            sets.append((self.card_data[:, :3], self.card_data[:, 3:6]))
        seen = [np.zeros(len(points)) for points, _ in sets]
        weight = [np.full(len(points), 1e-6) for points, _ in sets]
        golden = np.pi * (3 - np.sqrt(5))
        for k in range(AMBIENT_WAYS):
            y = 1 - 1.7 * (k + 0.5) / AMBIENT_WAYS  # few from below: the floor is dark
            ring = np.sqrt(max(0.0, 1 - y * y))
            way = np.array([np.cos(k * golden) * ring, y, np.sin(k * golden) * ring])
            matrix = orthographic(2.6, 2.6, 0.1, 14.0) @ look_at(way * 7, (0, -0.6, 0), (0.01, 1, 0.02))
            depth = renderer.depth_picture(self, matrix)
            for (points, normals), total, share in zip(sets, seen, weight, strict=True):
                lean = np.clip(normals @ way, 0, 1) if points is head.rest else np.full(len(points), 0.5)
                at = (points + normals * 0.04) @ matrix[:3, :3].T + matrix[:3, 3]
                pixel = np.clip(((at[:, :2] * 0.5 + 0.5) * AMBIENT_SIZE).astype(int), 0, AMBIENT_SIZE - 1)
                free = depth[pixel[:, 1], pixel[:, 0]] >= at[:, 2] * 0.5 + 0.5 - 0.006
                total += lean * free
                share += lean
        ambient = [np.clip(s / w, 0, 1) for s, w in zip(seen, weight, strict=True)]
        self._static[:, -2] = 0.25 + 0.75 * ambient[0] ** 0.8
        self.static.write(self._static.tobytes())
        if self.cards:
            self.card_data[:, -1] = 0.3 + 0.7 * np.clip(ambient[1] * 1.5, 0, 1)
            self.cards.buffer.write(self.card_data.astype(np.float32).tobytes())

    def release(self) -> None:
        for item in self._owned:
            item.release()
        for mesh in [*self.eyes.values(), *(m for _, m in self.things), *([self.cards] if self.cards else [])]:
            mesh.release()


def _part_masks(head: Head, masks: np.ndarray) -> np.ndarray:
    """The skin's masks; teeth carry crown-to-root in the first, lashes root-to-tip in the second."""
    out = masks.copy()
    y, z = head.template[:, 1], head.template[:, 2]
    for name in ("upper_teeth", "lower_teeth", "tongue", "upper_lashes", "lower_lashes"):
        out[np.unique(head.triangles[name])] = 0
    upper, lower = np.unique(head.triangles["upper_teeth"]), np.unique(head.triangles["lower_teeth"])
    out[upper, 0] = (y[upper] - y[upper].min()) / 0.234
    out[lower, 0] = (y[lower].max() - y[lower]) / 0.294
    for name in ("upper_lashes", "lower_lashes"):
        index = np.unique(head.triangles[name])
        centre = head.template[head.basis.eyes["l"]].mean(0)
        reach = np.hypot(np.hypot(np.abs(head.template[index, 0]) - centre[0], y[index] - centre[1]), z[index] - centre[2])
        out[index, 1] = (reach - reach.min()) / np.ptp(reach)
    return out


class Renderer:
    """Draws a scene of heads into RGB pictures.

    Args:
        width, height: pixels of the finished picture.
        oversample: the scene is drawn this many times larger and averaged down.
    """

    def __init__(self, width: int, height: int, *, oversample: int = 2):
        import moderngl

        self.context = open_context()
        self.size = (width, height)
        self.oversample = oversample
        context = self.context
        self.programs = {
            "skin": _Program(context, shaders.VERTEX, shaders.SKIN),
            "cloth": _Program(context, shaders.VERTEX, shaders.CLOTH),
            "fur": _Program(context, shaders.VERTEX, shaders.FUR),
            "thing": _Program(context, shaders.VERTEX, shaders.THING),
            "eye": _Program(context, shaders.VERTEX, shaders.EYE),
            "strand": _Program(context, shaders.STRAND_VERTEX, shaders.STRAND),
            "depth": _Program(context, shaders.VERTEX, shaders.DEPTH),
            "strand_depth": _Program(context, shaders.STRAND_VERTEX, shaders.STRAND_DEPTH),
            "backdrop": _Program(context, shaders.BACKDROP_VERTEX, shaders.BACKDROP),
        }
        large = (width * oversample, height * oversample)
        self.frame = context.framebuffer([context.texture(large, 3)], context.depth_renderbuffer(large))
        self.shadow = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow.compare_func = "<="
        self.shadow.repeat_x = self.shadow.repeat_y = False
        self.shadow_frame = context.framebuffer(depth_attachment=self.shadow)
        self.ambient = context.depth_texture((AMBIENT_SIZE, AMBIENT_SIZE))
        self.ambient.compare_func = ""
        self.ambient_frame = context.framebuffer(depth_attachment=self.ambient)
        self.noise = context.texture3d((32, 32, 32), 4, _noise_volume().tobytes())
        self.noise.filter = (moderngl.LINEAR, moderngl.LINEAR)
        corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.quad = context.vertex_array(self.programs["backdrop"].program, [(corners, "2f", "in_corner")])
        self.picture = None
        self._moderngl = moderngl

    def actor(self, head: Head) -> Actor:
        return Actor(self, head)

    def release(self) -> None:
        """Give the device's memory back; the renderer and its actors are of no use afterwards."""
        self.context.release()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def backdrop(self, picture: np.ndarray) -> None:
        """Set the background, (H, W, 3) uint8; it is stretched over the frame."""
        if self.picture is not None:
            self.picture.release()
        height, width = picture.shape[:2]
        self.picture = self.context.texture((width, height), 3, np.ascontiguousarray(picture).tobytes(), alignment=1)
        self.picture.filter = (self._moderngl.LINEAR, self._moderngl.LINEAR)

    def depth_picture(self, actor: Actor, matrix: np.ndarray) -> np.ndarray:
        self.ambient_frame.use()
        self.ambient_frame.clear(depth=1.0)
        self.context.enable_only(self._moderngl.DEPTH_TEST)
        self._depth_pass([(actor, Pose(units=np.zeros(0)))], matrix)
        return np.frombuffer(self.ambient.read(alignment=1), np.float32).reshape(AMBIENT_SIZE, AMBIENT_SIZE)

    def _place(self, actor: Actor, pose: Pose) -> dict:
        return {
            "head_turn": turn(pose.yaw, pose.pitch, pose.roll),
            "head_shift": np.asarray(pose.shift),
            "pivot": actor.head.pivot,
            "body_turn": turn(pose.body_yaw),
            "body_place": np.asarray(pose.place),
        }

    def _depth_pass(self, cast, matrix) -> None:
        for actor, pose in cast:
            place = self._place(actor, pose)
            self.programs["depth"].set(camera=matrix, offset=0.0, slack=np.zeros(3), **place)
            actor.parts["skin"]["depth"].render()
            for thing, mesh in actor.things:
                if thing.casts:
                    mesh.arrays["depth"].render()
            if actor.cards:
                self.programs["strand_depth"].set(camera=matrix, sway=np.asarray(pose.sway), **place)
                actor.cards.arrays["depth"].render()

    def _shadow_matrix(self, cast, way) -> np.ndarray:
        places = np.array([pose.place for _, pose in cast], float)
        middle = places.mean(0) + (0, -0.2, 0)
        reach = 2.1 + np.ptp(places[:, 0]) / 2
        return orthographic(reach, min(reach, 2.6), 0.1, 30.0) @ look_at(middle + np.asarray(way) * 15, middle)

    def draw(self, cast: list[tuple[Actor, Pose]], view: View, light: Light) -> np.ndarray:
        """One frame, (H, W, 3) uint8 RGB.

        Args:
            cast: the heads and how each is posed; all made by this renderer.
        """
        gl = self._moderngl
        for actor, pose in cast:
            actor.pose(pose)
        ways = np.array([np.asarray(w, float) / np.linalg.norm(w) for w in light.ways])
        shadow_matrix = self._shadow_matrix(cast, ways[0])
        self.shadow_frame.use()
        self.shadow_frame.clear(depth=1.0)
        self.context.enable_only(gl.DEPTH_TEST)
        self._depth_pass(cast, shadow_matrix)

        width, height = self.size
        matrix, eye = view.matrix(width / height)
        self.frame.use()
        self.frame.clear(0.3, 0.3, 0.3, depth=1.0)
        if self.picture is not None:
            self.context.disable(gl.DEPTH_TEST)
            self.picture.use(2)
            self.programs["backdrop"].set(picture=2)
            self.quad.render(gl.TRIANGLE_STRIP)
        self.context.enable_only(gl.DEPTH_TEST)
        self.shadow.use(0)
        self.noise.use(1)
        common = {
            "camera": matrix, "eye": eye, "light_way": ways, "light_colour": np.asarray(light.colours, float),
            "sky": np.asarray(light.sky), "ground": np.asarray(light.ground), "shadow_camera": shadow_matrix,
            "shadow_map": 0, "noise": 1, "exposure": light.exposure, "slack": np.zeros(3), "offset": 0.0,
        }  # fmt: skip
        for key in ("skin", "cloth", "fur", "thing", "eye", "strand"):
            self.programs[key].set(**{k: v for k, v in common.items() if k not in ("light_way", "light_colour")})
            for name in ("light_way", "light_colour"):
                self.programs[key].program[name].write(np.asarray(common[name], np.float32).tobytes())
        for actor, pose in cast:
            self._draw_actor(actor, pose)
        large = (width * self.oversample, height * self.oversample)
        raw = np.frombuffer(self.frame.read(components=3, alignment=1), np.uint8).reshape(large[1], large[0], 3)[::-1]
        if self.oversample == 1:
            return raw.copy()
        import cv2

        return cv2.resize(raw, (width, height), interpolation=cv2.INTER_AREA)

    def _draw_actor(self, actor: Actor, pose: Pose) -> None:
        head, person, gl = actor.head, actor.head.identity, self._moderngl
        place = self._place(actor, pose)
        seed = (person.seed % 977) * 0.0371
        colour = {name: linear(getattr(person, name)) for name in ("skin", "lips", "hair", "brow", "cloth", "cloth2")}
        melanin = 1 - float(np.clip((np.mean(person.skin) - 60) / 150, 0, 1))
        opening = float(pose.units[head.units.index("jawOpen")]) if len(pose.units) else 0.0
        mouth_light = 0.55 + 0.75 * min(1.0, opening * 1.6)
        cover = 0.0 if person.hairstyle == "bald" else 0.92
        if person.headwear in ("hijab", "turban"):
            cover = 0.0
        form = (person.brow_arch, person.hairline, person.shine, melanin)
        self.programs["skin"].set(
            **place, skin=colour["skin"], lips=colour["lips"], hair=colour["hair"], brow=colour["brow"],
            marks=(person.freckles, person.blotches, person.wrinkles, person.makeup), form=form, seed=seed,
            growth=(person.stubble if person.beard == 0 else 0.9, cover, person.brow_thickness, person.brow_height),
            mouth_light=mouth_light,
        )  # fmt: skip
        actor.parts["skin"]["skin"].render()

        gaze = turn(*pose.gaze)
        for mesh in actor.eyes.values():
            self.programs["eye"].set(
                **place, iris=linear(person.eyes), gaze=gaze, seed=seed, pupil=0.40, lid=0.66, age=person.wrinkles * 0.6
            )
            mesh.arrays["eye"].render()
        thing = self.programs["thing"]
        thing.set(**place, seed=seed, mouth_light=mouth_light)
        enamel = np.array([0.84, 0.79, 0.70]) * (1 - 0.25 * person.wrinkles)
        thing.set(tint=enamel, kind=1, gloss=40.0, shine=1.0)
        actor.parts["upper_teeth"]["thing"].render()
        actor.parts["lower_teeth"]["thing"].render()
        thing.set(tint=np.array([0.50, 0.13, 0.12]), kind=2, gloss=30.0, shine=0.35)
        actor.parts["tongue"]["thing"].render()
        thing.set(tint=np.array([0.012, 0.009, 0.008]), kind=3, gloss=7.0 + 4.0 * person.makeup, shine=0.0)
        actor.parts["upper_lashes"]["thing"].render()
        thing.set(gloss=3.5 + 3.0 * person.makeup)
        actor.parts["lower_lashes"]["thing"].render()

        cloth = self.programs["cloth"]
        cuts = {"crew": 0, "vneck": 1, "scoop": 2, "turtle": 3, "shirt": 4, "blazer": 5, "hoodie": 6}
        cut = cuts[person.clothes]
        patterns = {"plain": 0, "stripes": 1, "knit": 2, "check": 3, "dots": 4}
        pattern = patterns[person.pattern] if cut not in (5, 6) else 0
        cloth.set(**place, cloth=colour["cloth"], cloth2=colour["cloth2"], seed=seed, layer=0)
        if cut == 5:
            cloth.set(cut=4 if person.gender > 0.5 else 2, pattern=0, offset=0.025, slack=np.array([0.02, 0, 0]))
            cloth.set(cloth=colour["cloth2"])
            actor.parts["cloth"]["cloth"].render()
            cloth.set(cloth=colour["cloth"])
        cloth.set(cut=cut, pattern=pattern, offset=0.05, slack=np.array([0.10 if cut < 5 else 0.16, 0, 0]))
        actor.parts["cloth"]["cloth"].render()
        if cut in (4, 6):  # a collar or a hood's roll: the same cloth again, further out
            cloth.set(layer=1 if cut == 4 else 2, offset=0.10 if cut == 4 else 0.19)
            actor.parts["cloth"]["cloth"].render()

        for item, mesh in actor.things:
            thing.set(tint=item.tint, tint2=item.tint2, kind=item.kind, gloss=item.gloss, shine=item.shine, offset=0.0)
            mesh.arrays["thing"].render()
        self._draw_fur(actor, place, seed, colour, form)
        if actor.cards:
            frizz = {"afro": 1.0, "curly": 0.7, "wavy": 0.3}.get(person.hairstyle, 0.1)
            self.programs["strand"].set(
                **place, hair=colour["hair"], seed=seed, frizz=frizz, gloss_scale=1.0 - 0.6 * frizz, sway=np.asarray(pose.sway)
            )
            actor.cards.arrays["strand"].render(gl.TRIANGLES)

    def _draw_fur(self, actor, place, seed, colour, form) -> None:
        person, fur = actor.head.identity, self.programs["fur"]
        fur.set(**place, hair=colour["hair"], seed=seed, form=form, extent=(person.beard, person.moustache))
        covered = person.headwear in ("hijab", "turban")
        layers = hair.shells(person)
        if layers and not covered:
            for k in range(1, layers.count + 1):
                fur.set(region=0, level=k / layers.count, offset=layers.depth * k / layers.count)
                actor.parts["fur"]["fur"].render()
        if person.beard > 0 or person.moustache > 0:
            count, depth = 7, 0.03 + 0.10 * max(person.beard, 0.3 * person.moustache)
            for k in range(1, count + 1):
                fur.set(region=1, level=k / count, offset=depth * k / count)
                actor.parts["fur"]["fur"].render()
