"""What each part of a head is made of: the uniforms and the order in which an actor's meshes are drawn."""

import numpy as np

from pushpull.data.talkheads import hair
from pushpull.data.talkheads.actor import Actor
from pushpull.data.talkheads.camera import Pose, linear, turn

CUTS = {"crew": 0, "vneck": 1, "scoop": 2, "turtle": 3, "shirt": 4, "blazer": 5, "hoodie": 6}
WEAVES = {"plain": 0, "stripes": 1, "knit": 2, "check": 3, "dots": 4}
FRIZZ = {"afro": 1.0, "curly": 0.7, "wavy": 0.3}


def placement(actor: Actor, pose: Pose) -> dict:
    """The vertex stages' uniforms."""
    return {
        "head_turn": turn(pose.yaw, pose.pitch, pose.roll),
        "head_shift": np.asarray(pose.shift),
        "pivot": actor.head.pivot,
        "body_turn": turn(pose.body_yaw),
        "body_place": np.asarray(pose.place),
        "slack": np.zeros(3),
        "offset": 0.0,
    }


def cast_shadow(programs: dict, actor: Actor, pose: Pose, camera: np.ndarray) -> None:
    """Depth only, as seen through ``camera`` (4, 4)."""
    place = placement(actor, pose)
    programs["depth"].set(camera=camera, **place)
    actor.parts["skin"].draw("depth")
    for thing, mesh in actor.things:
        if thing.casts:
            mesh.draw("depth")
    if actor.cards:
        programs["strand_depth"].set(camera=camera, sway=np.asarray(pose.sway), **place)
        actor.cards.draw("depth")


def draw(programs: dict, actor: Actor, pose: Pose) -> None:
    """The whole actor; what hides the skin comes first, because a hidden fragment costs nothing."""
    person = actor.head.identity
    common = placement(actor, pose) | {"seed": (person.seed % 977) * 0.0371}
    opening = float(pose.units[actor.head.units.index("jawOpen")])
    common["mouth_light"] = 0.55 + 0.75 * min(1.0, opening * 1.6)
    for key in ("skin", "cloth", "fur", "thing", "eye", "strand"):
        programs[key].set(**common)
    _draw_hair(programs["strand"], actor, pose)
    _draw_things(programs["thing"], actor)
    _draw_cloth(programs["cloth"], actor)
    _draw_eyes(programs["eye"], actor, pose)
    _draw_skin(programs["skin"], actor)
    _draw_mouth(programs["thing"], actor)
    _draw_fur(programs["fur"], actor)


def _form(person) -> tuple:
    melanin = 1 - float(np.clip((np.mean(person.skin) - 60) / 150, 0, 1))
    return person.brow_arch, person.hairline, person.shine, melanin


def _draw_hair(program, actor: Actor, pose: Pose) -> None:
    person = actor.head.identity
    if actor.cards:
        frizz = FRIZZ.get(person.hairstyle, 0.1)
        program.set(hair=linear(person.hair), frizz=frizz, gloss_scale=1.0 - 0.6 * frizz, sway=np.asarray(pose.sway))
        actor.cards.draw("strand")


def _draw_things(program, actor: Actor) -> None:
    for thing, mesh in actor.things:
        program.set(tint=thing.tint, tint2=thing.tint2, kind=thing.kind, gloss=thing.gloss, shine=thing.shine)
        mesh.draw("thing")


def _draw_cloth(program, actor: Actor) -> None:
    person = actor.head.identity
    cut, mesh = CUTS[person.clothes], actor.parts["cloth"]
    program.set(cloth=linear(person.cloth), cloth2=linear(person.cloth2), layer=0)
    program.set(cut=cut, pattern=WEAVES[person.pattern] if cut not in (5, 6) else 0)
    program.set(offset=0.05, slack=np.array([0.10 if cut < 5 else 0.16, 0, 0]))
    mesh.draw("cloth")
    if cut in (4, 6):  # a collar or a hood's roll: the same cloth again, further out
        program.set(layer=1 if cut == 4 else 2, offset=0.10 if cut == 4 else 0.19)
        mesh.draw("cloth")
    if cut == 5:  # a shirt under the jacket
        program.set(cloth=linear(person.cloth2), cut=4 if person.gender > 0.5 else 2, pattern=0)
        program.set(offset=0.025, slack=np.array([0.02, 0, 0]))
        mesh.draw("cloth")


def _draw_eyes(program, actor: Actor, pose: Pose) -> None:
    person = actor.head.identity
    program.set(iris=linear(person.eyes), gaze=turn(*pose.gaze), pupil=0.40, lid=0.66, age=person.wrinkles * 0.6)
    for mesh in actor.eyes:
        mesh.draw("eye")


def _draw_skin(program, actor: Actor) -> None:
    person = actor.head.identity
    covered = person.hairstyle == "bald" or person.headwear in ("hijab", "turban")
    program.set(**{name: linear(getattr(person, name)) for name in ("skin", "lips", "hair", "brow")})
    program.set(
        marks=(person.freckles, person.blotches, person.wrinkles, person.makeup),
        form=_form(person),
        growth=(
            person.stubble if person.beard == 0 else 0.9,
            0.0 if covered else 0.92,
            person.brow_thickness,
            person.brow_height,
        ),
    )
    actor.parts["skin"].draw_front("skin")


def _draw_mouth(program, actor: Actor) -> None:
    person, parts = actor.head.identity, actor.parts
    program.set(tint=np.array([0.84, 0.79, 0.70]) * (1 - 0.25 * person.wrinkles), kind=1, gloss=40.0, shine=1.0)
    parts["upper_teeth"].draw("thing")
    parts["lower_teeth"].draw("thing")
    program.set(tint=np.array([0.50, 0.13, 0.12]), kind=2, gloss=30.0, shine=0.35)
    parts["tongue"].draw("thing")
    program.set(tint=np.array([0.012, 0.009, 0.008]), kind=3, gloss=7.0 + 4.0 * person.makeup, shine=0.0)
    parts["upper_lashes"].draw("thing")
    program.set(gloss=3.5 + 3.0 * person.makeup)
    parts["lower_lashes"].draw("thing")


def _draw_fur(program, actor: Actor) -> None:
    person, mesh = actor.head.identity, actor.parts["fur"]
    program.set(hair=linear(person.hair), form=_form(person), extent=(person.beard, person.moustache))
    layers = hair.shells(person)
    undercoat = actor.cards is not None and actor.detail.shells == 1  # too thin to see: the scalp is painted already
    if layers and not undercoat and person.headwear not in ("hijab", "turban"):
        _draw_shells(program, mesh, 0, min(layers.count, actor.detail.shells), layers.depth)
    if person.beard > 0 or person.moustache > 0:
        depth = 0.03 + 0.10 * max(person.beard, 0.3 * person.moustache)
        _draw_shells(program, mesh, 1, min(7, 2 * actor.detail.shells), depth)


def _draw_shells(program, mesh, region: int, count: int, depth: float) -> None:
    for k in range(1, count + 1):
        program.set(region=region, level=k / count, offset=depth * k / count)
        mesh.draw("fur")
