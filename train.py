#!/usr/bin/env python3
"""Trains a dynamic speech encoder and scores it at every depth.

The only training script: what is trained, and from what, stands in the
hparams file; the corpus in recipes/<Corpus>/.

To run this recipe, do the following:
> python train.py hparams/quickstart.yaml
> python train.py hparams/conformer_dld.yaml --data_folder=/LibriSpeech
> python train.py hparams/conformer_dld.yaml --data_folder=/an4 --corpus=AN4
"""

import sys

import speechbrain as sb

from dld_brain.run.command_line import parse
from dld_brain.run.run import Run
from dld_brain.training.memory import keep_freed_memory


def main(arguments: list[str]) -> None:
    """Runs the recipe that the command line names."""
    hparams_file, run_opts, overrides = parse(arguments)
    sb.utils.distributed.ddp_init_group(run_opts)
    keep_freed_memory()
    # A Run reaches what hparams["encoder"] and hparams["recipe"] include as if
    # it stood in the file itself.
    Run(hparams_file, run_opts, overrides).prepare().fit().finish()


if __name__ == "__main__":
    main(sys.argv[1:])
