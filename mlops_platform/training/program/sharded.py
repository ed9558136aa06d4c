"""How a network that several processes hold in shards takes a whole state back."""

from typing import Any

from lightning_fabric.strategies.model_parallel import _rekey_optimizer_state_if_needed
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    set_model_state_dict,
    set_optimizer_state_dict,
)

_WHOLE = StateDictOptions(full_state_dict=True, strict=True)


class Sharded(ModelParallelStrategy):
    """FSDP2, which resumes from a state that every process has whole; Lightning's own reads a file of its own form."""

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Takes weights and optimizers to the shards of this process; by now there are both.

        Args:
            checkpoint_path: Handed to the checkpoint plugin, which knows the state.
            weights_only: Likewise.
        """
        state = self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)
        assert self.lightning_module is not None
        set_model_state_dict(self.lightning_module, state["state_dict"], options=_WHOLE)
        for optimizer, known in zip(self.optimizers, state["optimizer_states"], strict=True):
            named = _rekey_optimizer_state_if_needed(known, self.lightning_module)
            set_optimizer_state_dict(self.lightning_module, optimizer, named, options=_WHOLE)
        return dict(state)
