"""Beginning a run with the weights of another one."""

from pushpull.detectors import CheckpointError, TalkNet


def warm_start(model: TalkNet, source: TalkNet) -> list[str]:
    """Copy every tensor of ``source`` that ``model`` has under the same name and shape.

    Returns:
        The names of the tensors that keep their random values, as those of another variant's attention do.

    Raises:
        CheckpointError: the two are of other sizes, so that hardly anything fits.
    """
    state, own = source.state_dict(), model.state_dict()
    fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if source.config.size != model.config.size or 2 * len(fits) < len(own):
        raise CheckpointError(
            f"of the {len(own)} tensors of this {model.config.size} {model.config.variant} only {len(fits)} fit those "
            f"of the {source.config.size} {source.config.variant} to start with: give one of the same size"
        )
    model.load_state_dict(own | fits)
    return [name for name in own if name not in fits]
