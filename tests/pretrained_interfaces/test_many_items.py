"""What words stand for: folders, globs, lists, manifests; names of outputs."""

import io
import json
import os
import warnings

import numpy as np
import pytest
import soundfile

from pretrained_interfaces.many.item import Item
from pretrained_interfaces.many.items import find_items
from pretrained_interfaces.many.names import output_names, recordings
from pretrained_interfaces.many.transcriber import audio_of, in_groups


@pytest.fixture
def folder(tmp_path):
    """Audio of 1 to 4 s in folders, beside other things."""
    names = ["b.wav", "a.FLAC", "deep/er/c.wav", ".hidden.wav", ".h/d.wav"]
    for n, name in enumerate(names, start=1):
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.zeros(n * 16000, np.float32)
        kind = "FLAC" if "FLAC" in name else "WAV"
        soundfile.write(str(path), samples, 16000, format=kind)
    (tmp_path / "audio/notes.md").write_text("no audio")
    return tmp_path / "audio"


def files(*words):
    return [item.file for item in find_items(map(str, words))]


def test_a_folder_is_every_audio_file_below_it_but_hidden_ones(folder):
    found = list(find_items([str(folder)]))
    assert [item.name for item in found] == ["a.FLAC", "b.wav", "deep/er/c.wav"]
    assert [item.file for item in found] == [
        str(folder / item.name) for item in found
    ]


def test_a_folder_without_audio_is_answered(tmp_path):
    (item,) = find_items([str(tmp_path)])
    assert "must hold audio files" in item.error and str(tmp_path) in item.error


def test_a_glob_that_the_shell_left_alone_is_followed(folder):
    assert files(folder / "*.wav") == [str(folder / "b.wav")]
    found = files(folder / "**/*.wav")
    assert found == [str(folder / n) for n in ("b.wav", "deep/er/c.wav")]
    (item,) = find_items([str(folder / "*.ogg")])
    assert "no file matches" in item.error
    strange = folder / "[b].wav"  # a file of that name is that file
    (folder / "b.wav").rename(strange)
    assert files(strange) == [str(strange)]


def test_a_bad_match_of_a_glob_takes_no_other_with_it(folder):
    (folder / "c").mkdir()  # holds no audio
    (folder / "d.jsonl").write_bytes("{}".encode("utf-16"))
    (folder / "z.wav").write_bytes((folder / "b.wav").read_bytes())
    found = list(find_items([str(folder / "*")]))
    names = ["a.FLAC", "b.wav", "c", "d.jsonl", "deep/er/c.wav", "notes.md"]
    assert [os.path.relpath(item.file, folder) for item in found] == [
        *names,
        "z.wav",
    ]
    assert [bool(item.error) for item in found] == [
        name in ("c", "d.jsonl") for name in (*names, "z.wav")
    ]


def test_a_name_that_is_no_text_takes_no_other_with_it(folder, monkeypatch):
    content = b"b.wav\nodd\xff.wav\nfile://far/c.wav\ndeep/er/c.wav\n"
    path = folder / "list.txt"
    path.write_bytes(content)
    (folder / "b.wav").rename(os.fsdecode(bytes(folder) + b"/odd\xff.wav"))
    found = list(find_items([str(path)]))
    odd = str(folder / "odd\udcff.wav")
    assert [item.file for item in found] == [
        str(folder / "b.wav"),
        odd,
        "file://far/c.wav",
        str(folder / "deep/er/c.wav"),
    ]
    assert found[1].seconds() == 1.0
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert files("-")[1] == "odd\udcff.wav" and len(files(path)) == 4
    manifest = folder / "m.jsonl"
    manifest.write_bytes(b'{"path": "odd\xff.wav"}\n{"path": "b.wav"}')
    assert files(manifest) == [odd, str(folder / "b.wav")]
    path.write_bytes("b.wav\n".encode("utf-16"))
    (item,) = find_items([str(path)])
    assert "must be UTF-8, but is UTF-16" in item.error


def test_links_of_a_folder_are_followed_once_and_without_end(folder):
    (folder / "b.wav").rename(folder.parent / "b.wav")
    other = folder.parent / "other"
    other.mkdir()
    (folder.parent / "b.wav").rename(other / "b.wav")
    (folder / "linked").symlink_to(other)
    (folder / "again").symlink_to(folder / "deep")  # is there by its name
    (folder / "deep/back").symlink_to(folder)
    (other / "back").symlink_to(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(find_items([str(folder)]))
    assert [item.name for item in found] == [
        "a.FLAC",
        "deep/er/c.wav",
        "linked/b.wav",
    ]
    (folder / "up").symlink_to(folder.parent)
    with pytest.warns(UserWarning, match="is left out: .* has a link to it"):
        assert list(find_items([str(folder)])) == found


def test_what_a_folder_cannot_give_is_named(folder):
    (folder / "gone.wav").symlink_to("/nowhere.wav")
    (folder / "round.wav").symlink_to("round.wav")
    (folder / "gone").symlink_to("/nowhere")
    os.mkfifo(folder / "pipe.wav")
    os.mkfifo(folder / "pipe")  # no audio by its name
    with pytest.warns(UserWarning, match="gone is left out: .* /nowhere can"):
        found = list(find_items([str(folder)]))
    errors = {item.name: item.error for item in found if item.error}
    assert list(errors) == ["gone.wav", "pipe.wav", "round.wav"]
    assert all(str(folder / name) in errors[name] for name in errors)
    assert "/nowhere.wav cannot be opened" in errors["gone.wav"]
    assert "is no regular file" in errors["pipe.wav"]
    assert len(found) == 6


def test_a_line_that_no_float_or_stack_holds_is_an_error_alone(folder):
    path = folder / "m.jsonl"
    long = '{"path": "b.wav", "duration": 1' + "0" * 400 + "}"
    path.write_text("\n".join([long, "[" * 100_000, '{"path": "b.wav"}']))
    first, second, third = find_items([str(path)])
    assert "`duration` must be more than 0 seconds" in first.error
    assert "is nested too deeply" in second.error
    assert third == Item(str(folder / "b.wav"), "b.wav")


def test_lists_are_read_from_their_folder_or_the_working_one(
    folder, monkeypatch
):
    path = folder / "list.txt"
    path.write_bytes("\ufeffb.wav\r\n\r\ndeep/er/c.wav\r\nno.wav\r\n".encode())
    names = ("b.wav", "deep/er/c.wav", "no.wav")
    assert files(path) == [str(folder / name) for name in names]
    monkeypatch.chdir(folder.parent)
    path.write_text("audio/b.wav\nhttps://x.org/y.wav?z=1")
    assert files(path) == ["audio/b.wav", "https://x.org/y.wav?z=1"]
    monkeypatch.setattr("sys.stdin", io.StringIO("audio/a.FLAC\n\n"))
    assert files("-") == ["audio/a.FLAC"]
    (folder.parent / "-").write_bytes(b"")  # a file of that name is that file
    assert files("-") == ["-"]


def test_manifests_name_parts_and_every_line_is_answered(folder):
    path = folder / "m.jsonl"
    rows = [
        {"audio_filepath": "b.wav", "offset": 0.25, "duration": 0.5, "id": 7},
        {"path": "deep/er/c.wav", "text": "ignored"},
        {"audio": "b.wav"},
        {"path": "b.wav", "offset": -1},
        {"path": "b.wav", "duration": "long"},
        {"path": "b.wav", "duration": 0},
        [],
    ]
    text = "\n".join(map(json.dumps, rows))
    path.write_text(text + "\n{")
    found = list(find_items([str(path)]))
    first = Item(str(folder / "b.wav"), "b.wav", 0.25, 0.5, "7")
    assert found[0] == first
    assert found[1] == Item(str(folder / "deep/er/c.wav"), "c.wav")
    bad = found[2:]
    assert [item.file for item in bad] == [f"{path}:{n}" for n in range(3, 9)]
    reasons = [
        "must have audio_filepath or path, but has audio",
        "`offset` must be at least 0",
        "`duration` must be more than 0 seconds, but is 'long'",
        "`duration` must be more than 0 seconds, but is 0",
        "must be a JSON object",
        "property name",
    ]
    for item, reason in zip(bad, reasons, strict=True):
        assert reason in item.error and item.error.startswith(item.file)


def test_a_part_is_cut_and_a_rounded_duration_is_not(tmp_path):
    path = str(tmp_path / "a.wav")
    samples = np.linspace(-0.5, 0.5, 24000, dtype=np.float32)  # 3 s
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    part = audio_of(Item(path, offset=1.0, duration=0.5))
    assert part["sampling_rate"] == 8000
    np.testing.assert_array_equal(part["array"], samples[8000:12000])
    rest = audio_of(Item(path, offset=2.5))
    np.testing.assert_array_equal(rest["array"], samples[20000:])
    first = audio_of(Item(path, duration=1.0))
    np.testing.assert_array_equal(first["array"], samples[:8000])
    for duration in (2.95, 3.0, 3.04):
        assert audio_of(Item(path, duration=duration)) == path
    with pytest.raises(ValueError, match="`offset` must be less than the 3 s"):
        audio_of(Item(path, offset=3.0))
    assert len(audio_of(Item(path, offset=1.0, duration=2.05))["array"]) > 15999
    for offset in (None, 1.0):
        with pytest.raises(ValueError, match="of the 3 s of the file, but"):
            audio_of(Item(path, offset=offset, duration=500.0))


def test_groups_have_files_of_one_length_and_leave_out_none(folder):
    items = [*find_items([str(folder)]), Item("no.wav"), Item("http://x/y")]
    items = [*items, *items]
    for batch_size in (1, 2, 3, 100):
        groups = list(in_groups(items, batch_size))
        pairs = [pair for group in groups for pair in group]
        assert sorted(i for i, _ in pairs) == list(range(len(items)))
        assert all(items[i] == item for i, item in pairs)
        assert max(map(len, groups)) <= batch_size
        for group in groups:  # of unknown length, alone
            assert len(group) == 1 or all(x.seconds() < 60 for _, x in group)
    lengths = [[x.seconds() for _, x in group] for group in in_groups(items, 2)]
    assert lengths[-3:] == [[3.0, 3.0], [2.0, 2.0], [1.0, 1.0]]


def test_no_two_outputs_have_one_name():
    items = [
        Item("x/a.wav", "a.wav"),
        Item("y/a.wav", "a.wav"),
        Item("y/a.flac", "a.flac"),
        Item("y/b.wav", "sub/b.wav"),
        Item("y/c.wav", "c.wav", 1.5, 2.0),
        Item("y/c.wav", "c.wav", 3.5),
        Item("y/c.wav", "c.wav", 3.5, id="i/d"),
        Item("y/d.wav", "d.wav", id="same"),
        Item("y/e.wav", "e.wav", id="same"),
        Item("http://h/f.wav?q=1", "f.wav"),
        Item("y/G.wav", "G.wav"),
        Item("y/g.wav", "g.wav"),
    ]
    names = output_names(items)
    folded = [name.casefold() for name in names]
    assert len(set(folded)) == len(items)
    assert names[3:7] == ["sub/b", "c_1.5-3.5", "c_3.5", "i_d"]
    assert names[9] == "f"


@pytest.mark.parametrize("name", ["../../up", "/abs", ".hid", "..", "a/../b"])
def test_outputs_stay_in_their_folder(name):
    (found,) = output_names([Item("a.wav", "a.wav", id=name)])
    assert not found.startswith(("/", ".")) and ".." not in found.split("/")
    (found,) = output_names([Item(f"{name}.wav", f"{name}.wav")])
    assert not found.startswith(("/", ".")) and ".." not in found.split("/")


def test_no_output_is_where_another_has_its_folder():
    items = [Item("c/x.wav", "x.wav"), Item("c/x.txt/y.wav", "x.txt/y.wav")]
    for names in (output_names(items), output_names(items[::-1])[::-1]):
        assert names == ["x.wav", "x.txt/y"]


@pytest.mark.parametrize("letter", ["n", "\xfc", "\u53a8", "\udcff"])
def test_long_names_are_cut_and_stay_apart(tmp_path, letter):
    n = 250 // len(letter.encode("utf-8", "surrogateescape"))
    items = [
        Item("a.wav", f"{letter * n}{end}.wav") for end in ("a", "b", "c")
    ] + [Item("a.wav", "a.wav", id=letter * 300 + end) for end in "de"]
    names = output_names(items)
    assert len(set(names)) == len(items) and names == output_names(items)
    for name in names:  # the longest that is written around it
        path = tmp_path / f".unfinished+4194304+.{name}.json.made"
        path.touch()
        assert name.startswith(letter) or letter == "\udcff"


def test_halves_of_characters_are_no_names(tmp_path):
    (name,) = output_names([Item("a.wav", "a.wav", id="a\ud800\udc00b\udcff")])
    (tmp_path / name).touch()
    assert name == "a__b\udcff"


def test_recordings_are_told_apart_and_parts_of_one_are_not():
    items = [
        Item("x/a.wav", "a.wav", 0.0, 1.0, "one"),
        Item("x/../x/a.wav", "a.wav", 1.0, 1.0, "two"),
        Item("y/a.wav", "a.wav"),
        Item("y/b c.wav", "b c.wav"),
        Item("y/b_c.wav", "b_c.wav"),
        Item("y/d.wav", "d.wav", id="third"),
    ]
    names = ["x/a", "x/a", "y/a", "b_c", "b_c-2", "third"]
    assert recordings(items) == names
