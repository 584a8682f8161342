"""One run: models, data, training, evaluation."""

import contextlib
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any, Optional

import torch

import speechbrain as sb
from dld_brain.audio import dataset as data
from dld_brain.files.whole import named, write_text
from dld_brain.model_folder import (
    PretrainedModel,
    copy_weights,
    load_pretrained,
)
from dld_brain.run import belongings, hours, own_speech, start
from dld_brain.run.config import Composed, Overrides, compose, load_hparams
from dld_brain.run.decoder_depths import with_decoder_gates
from dld_brain.run.finish import Finish
from dld_brain.run.hub_model import settings_of_model
from dld_brain.run.places import find_preparation
from dld_brain.run.record import command_of, training_speech
from dld_brain.run.scoring import Scoring, with_language_model
from dld_brain.run.settings import Settings
from dld_brain.run.transcripts import (
    FOLDER as TRANSCRIBED,
    transcribe_splits,
)
from dld_brain.tasks import Task, find_task
from dld_brain.training.brain import Augmentation, DLDBrain, Keeping, Weights
from dld_brain.training.clock import layer_passes, read_training
from dld_brain.training.progress import Progress
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything


def make_brain(
    settings: Settings,
    hparams: dict[str, Any],
    run_opts: Any,
    *,
    task: Task,
    gate_sampler: Any,
    teacher: Optional[Mapping[str, torch.nn.Module]] = None,
    longest: float = inf,
    **changes: Any,
) -> DLDBrain:
    """Makes the Brain of a run.

    Arguments
    ---------
    hparams : dict
        The objects that the hparams file makes, for SpeechBrain.
    longest : float
        The longest utterance of training, s.
    **changes : dict
        Other arguments of `DLDBrain`, which win.
    """
    losses, optimisation = settings.losses, settings.optimisation
    arguments = {
        "modules": hparams["modules"],
        "opt_class": hparams["opt_class"],
        "checkpointer": hparams["checkpointer"],
        "train_loggers": [hparams["train_logger"]],
    }
    return DLDBrain(
        hparams=hparams,
        run_opts=run_opts,
        task=task,
        gate_sampler=gate_sampler,
        teacher=teacher,
        divergence=losses.distillation.make(),
        schedule=optimisation.schedule.make(lr=optimisation.lr),
        chunk_sampler=losses.streaming.make(seed=settings.start.seed),
        weights=Weights(
            task=losses.task_weight,
            teacher=losses.distillation["weight"],
            states=losses.distillation["states_weight"],
            in_place=losses.distillation["in_place_weight"],
            intermediate=losses.intermediate_weight,
        ),
        lr_factors={
            "head": optimisation.head_lr_factor,
            "per_depth": optimisation.head_lr_factor,
            "router": optimisation.router_lr_factor,
        },
        freeze_body_steps=optimisation.freeze_body_steps,
        keeping=Keeping(
            optimisation.averaged,
            optimisation.avg_checkpoints,
            optimisation.keep_epochs,
            settings.start.save_folder,
        ),
        augmentation=Augmentation(
            hparams["wav_augment"] if settings.data.speed_perturb else None,
            hparams["fea_augment"] if settings.data.feature_drops else None,
            settings.data.no_speech,
            settings.data.no_speech_around,
            longest,
        ),
        epoch_counter=hparams["epoch_counter"],
        seed=settings.start.seed,
        sample_rate=settings.encoder.sample_rate,
        valid_depths=list(optimisation.valid_depths),
        **{**arguments, **changes},
    )


logger = get_logger(__name__)
#: What goes to the console, and what to log.txt alone.
LOG_CONFIG = Path(__file__).with_name("log_config.yaml")


class Run:
    """One run of a recipe: settings, task and folders, held once.

    Settings are checked when it is made, before data is touched.

    Arguments
    ---------
    overrides : dict
        Settings of the command line, by key.
    later : float
        Layer passes, of each batch of an epoch, of the run that waits for
        this one; see `Progress`.
    """

    def __init__(
        self,
        hparams_file: str,
        run_opts: RunOptions,
        overrides: Overrides,
        later: float = 0.0,
    ) -> None:
        self.run_opts = run_opts
        self.overrides = overrides
        self.later = later
        self.folders_held = belongings.Folders()
        #: Settings that follow from the model and the data that were found.
        self.found: dict[str, Any] = {}
        #: The models that the run starts from: folders, by role.
        self.folders: dict[str, str] = {}
        #: Splits that are scored against the teacher's transcripts.
        self.judged_by_teacher: list[str] = []
        composed = compose(hparams_file, overrides)
        own_speech.check_recordings(composed.settings())
        self.found |= settings_of_model(composed, overrides)
        self._read(compose(hparams_file, {**overrides, **self.found}))

    def _read(self, composed: Composed) -> None:
        """Takes settings, and makes the objects that they name."""
        self.composed = composed
        self.settings = self.composed.settings()
        self.gates = start.gates_with_table(self.settings.losses.gates)
        self.hparams = load_hparams(self.composed)
        self.modules = self.hparams["modules"]
        n_total = self.modules["model"].n_total
        self.settings.check_depths(n_total)
        self.gate_sampler = self.gates.make(
            n_total=n_total, seed=self.settings.start.seed
        )
        self.gate_sampler = with_decoder_gates(
            self.gate_sampler, self.settings, self.modules["model"]
        )
        in_place = self.settings.losses.distillation["in_place_weight"]
        if in_place and not self.gate_sampler.has_full_depth:
            raise ValueError(
                f"`distillation.in_place_weight` needs gates that run the "
                f"full depth in every step (--gates=sandwich), but "
                f"{self.gates.name} do not"
            )
        streaming = self.settings.losses.streaming.make(seed=0)
        if streaming is not None:
            streaming.check(self.gate_sampler)
        self.is_training = not (
            self.run_opts.test_only or self.settings.evaluation.export_only
        )
        self.progress = Progress(
            self.settings.title,
            self.settings.optimisation.number_of_epochs,
            self._passes(),
            later=self.later,
            is_shown=not self.run_opts.noprogressbar,
        )

    def prepare(self) -> "Run":
        """Finds models, data and vocabulary; makes the Brain.

        What it starts from is trained first where it is not there yet.
        """
        with self._gives_up_its_folders():
            return self._prepare()

    def _prepare(self) -> "Run":
        """Does so, in folders that are held."""
        models = start.named_models(self.settings)
        self.folders_held.hold(self.settings)
        self._make_folder()
        self._leave_out_absent_splits()
        self.csv_folder = self._prepare_data()
        self._follow_the_hours(models)
        self._keep_what_it_is_told()
        settings = self.settings
        if self.is_training:
            self.folders = start.find_models(self.composed, settings, self._run)
        others = set(self.folders.values()) - set(models)
        models |= {folder: load_pretrained(folder) for folder in others}
        task = start.find_vocabulary(
            settings, start.of_the_vocabulary(settings, models, self.folders)
        )
        teacher = models.get(self.folders.get("teacher", ""))
        self._transcribe(teacher or models.get(self.settings.start.teacher))
        if "init_from" in self.folders:
            folder = self.folders["init_from"]
            source = models[folder].modules
            sizes = (m["model"].n_total for m in (self.modules, source))
            gates = start.layers_to_start_from(
                settings.start.init_layers, *sizes
            )
            copy_weights(
                source, self.modules, folder, gates, settings.start.new_head
            )
        task = belongings.kept_vocabulary(
            settings, task, self.csv_folder, self.is_training
        )
        task = belongings.compared_by(settings, task)
        task = task.with_text_case(settings.data.text_case)
        # What cannot be decoded, or spelled, is said before training.
        start.check_test_speech(settings, self.csv_folder, task)
        decoding = settings.evaluation.decoding
        task.with_decoding(decoding.name, decoding.options)
        with_language_model(settings.evaluation, task)
        if self.is_training:
            belongings.check_checkpoints(settings, self.csv_folder, teacher)
        seed_everything(settings.start.seed)
        loggers = [self.hparams["train_logger"]]
        logger = settings.start.logger.make(folder=settings.start.output_folder)
        self.task = task
        speech = training_speech(settings, self.csv_folder)
        self.brain = make_brain(
            settings,
            self.hparams,
            self.run_opts,
            task=task,
            gate_sampler=self.gate_sampler,
            teacher=teacher.modules if teacher else None,
            longest=speech["longest_utterance"] or inf,
            train_loggers=loggers + ([logger] if logger else []),
            progress=self.progress,
        )
        return self

    def fit(self) -> "Run":
        """Trains, but for an evaluation alone; then averages checkpoints."""
        with self._gives_up_its_folders():
            if self.is_training:
                self._keep_what_it_starts_from()
                self._fit()
                self.progress.close()
            self.brain.load_average()
        return self

    def finish(self) -> None:
        """Writes the folder of the model, and scores it at every depth."""
        command = command_of(self.composed.hparams_file, self.overrides)
        scoring = Scoring(
            self.settings,
            self.brain,
            self.task,
            self.csv_folder,
            command,
            self.judged_by_teacher,
        )
        with self._gives_up_its_folders():
            Finish(scoring).run(self.hparams)
        self.folders_held.release()

    @contextlib.contextmanager
    def _gives_up_its_folders(self) -> Iterator[None]:
        """Lets others have the folders if anything is raised."""
        try:
            yield
        except BaseException:
            self.folders_held.release()
            raise

    def _run(self, hparams_file: str, overrides: dict[str, Any]) -> None:
        """Runs another recipe first, with the same options."""
        later = self.progress.own + self.later
        first = Run(hparams_file, self.run_opts, overrides, later)
        first.prepare().fit().finish()
        self.progress.before += first.progress.before + first.progress.own

    def _follow_the_hours(self, models: dict[str, PretrainedModel]) -> None:
        """Takes the settings that the amount of speech decides."""
        told = self.settings.data
        column = find_task(self.settings.encoder.task).column
        amount = hours.amount_of(
            self.csv_folder, list(told.train_splits), column, told.text_case
        )
        models = start.of_the_vocabulary(
            self.settings, models, start.sources_of(self.settings)
        )
        task = next((model.task for model in models.values()), None)
        changes = hours.defaults_for(amount, self.composed, task)
        if changes:
            self._change(changes, hours.in_words(amount, changes))

    def _leave_out_absent_splits(self) -> None:
        """Does without test splits that nobody asked for and are not there."""
        told = self.settings.data
        absent = [
            split
            for split in told.may_miss
            if split in told.test_splits
            and not Path(told.data_folder, split).exists()
        ]
        if absent and "test_splits" not in self.overrides:
            kept = [s for s in told.test_splits if s not in absent]
            line = f"{told.data_folder} has no {', '.join(absent)}: left out"
            self._change({"test_splits": kept}, line)

    def _change(self, changes: dict[str, Any], why: str) -> None:
        """Takes settings that follow from what was found, and says so."""
        if if_main_process():
            print(why)
        logger.info(why)
        self.found |= changes
        overrides = {**self.overrides, **self.found}
        self._read(compose(self.composed.hparams_file, overrides))

    def _passes(self) -> float:
        """Layer passes of a step of training, in the mean of some."""
        n_total = self.modules["model"].n_total
        n_teacher = n_total if self.settings.start.teacher else 0
        passes = [
            layer_passes(self.gate_sampler(step), n_total, n_teacher)
            for step in range(100)
        ]
        return sum(passes) / len(passes)

    def _make_folder(self) -> None:
        """Makes the output folder, with its log."""
        folder = self.settings.start.output_folder
        with named(Path(folder)):
            sb.create_experiment_directory(
                experiment_directory=folder,
                save_env_desc=self.is_training,
                log_config=self.run_opts.log_config or str(LOG_CONFIG),
            )

    def _keep_what_it_is_told(self) -> None:
        """Writes the settings of a training into its folder."""
        folder = self.settings.start.output_folder
        if self.is_training and if_main_process():
            head = f"# Generated from {self.composed.hparams_file}\n"
            text = head + "# yamllint disable\n" + self.composed.text()
            write_text(Path(folder, "hyperparams.yaml"), text)

    def _prepare_data(self) -> str:
        """Writes the CSV files of the corpus, or finds those of one's own.

        Raises
        ------
        FileNotFoundError
            If there is no corpus where it should be.
        """
        told = self.settings.data
        if not told.makes_itself and not Path(told.data_folder).is_dir():
            raise FileNotFoundError(
                f"`data_folder` must be a folder, but {told.data_folder} is none"
            )
        if told.skip_prep:
            return told.csv_folder if told.prepare else told.data_folder
        if told.prepare:
            prepare = find_preparation(str(told.corpus), told.prepare)
        else:
            prepare = own_speech.find_own_preparation(self.settings)
        splits = belongings.splits_to_prepare(self.settings, self.is_training)
        run_on_main(
            prepare,
            kwargs={
                "data_folder": told.data_folder,
                "csv_folder": told.csv_folder,
                "splits": splits,
                **told.corpus_options,
            },
        )
        return told.csv_folder

    def _transcribe(self, teacher: Optional[PretrainedModel]) -> None:
        """Has the teacher transcribe what is trained on, if it is to."""
        told = self.settings.data
        if told.transcripts != "teacher":
            return
        splits = belongings.splits_to_prepare(self.settings, self.is_training)
        target = Path(self.settings.start.output_folder, TRANSCRIBED)
        self.judged_by_teacher = own_speech.judged_by_teacher(
            self.settings, self.csv_folder
        )
        run_on_main(
            transcribe_splits,
            kwargs={
                "teacher": teacher,
                "csv_folder": self.csv_folder,
                "data_root": told.data_folder,
                "splits": {s: s in told.train_splits for s in splits},
                "target": target,
            },
        )
        self.csv_folder = str(target)

    def _keep_what_it_starts_from(self) -> None:
        """Keeps the teacher's scores, and what the first model took."""
        if "teacher" in self.folders:
            start.keep_teacher_report(
                self.folders["teacher"], self.settings.start.save_folder
            )
        if "init_from" in self.folders:
            before = read_training(self.folders["init_from"])
            self.brain.clock.spent.before = before

    def _fit(self) -> None:
        """Trains."""
        told, save_folder = self.settings.data, self.settings.start.save_folder
        train_set, valid_set = (
            data.make_dataset(
                data.merged_csv(self.csv_folder, splits, save_folder),
                told.data_folder,
                self.task,
                self.settings.encoder.sample_rate,
                max_seconds,
                told.max_unspellable,
                only_readable,
                max_tokens=own_speech.most_tokens(self.settings),
            )
            for splits, max_seconds, only_readable in (
                (told.train_splits, told.max_train_seconds or inf, False),
                (told.valid_splits, inf, not told.is_decoded),
            )
        )
        self.brain.fit(
            self.hparams["epoch_counter"],
            train_set,
            valid_set,
            train_loader_kwargs=data.train_loader_options(
                train_set,
                batch_size=told.batch_size,
                max_batch_seconds=told.max_batch_seconds,
                num_buckets=told.num_buckets,
                num_workers=told.num_workers,
                seed=self.settings.start.seed,
            ),
            valid_loader_kwargs={
                "batch_size": self.settings.evaluation.test_batch_size
            },
        )
