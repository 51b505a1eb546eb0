"""Threads of a process that write the same file or folder: each writes its own, the last one stays whole."""

import threading

from observer.run.files import temporary_name, whole_file, write_folder


def together(count, work):
    """Run work(number, barrier) on threads; return what they raised."""
    barrier, raised = threading.Barrier(count, timeout=20), []

    def run(number):
        try:
            work(number, barrier)
        except Exception as error:
            raised.append(repr(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_no_temporary_name_comes_twice(tmp_path):
    made = []
    assert together(4, lambda *_: made.extend(temporary_name(tmp_path / "a") for _ in range(50))) == []
    assert len(set(made)) == 200


def test_threads_that_write_a_file_at_once_leave_it_as_one_of_them_wrote_it(tmp_path):
    texts = [f"{number}" * 10_000 for number in range(4)]

    def write(number, barrier):
        with whole_file(tmp_path / "a.json") as file:
            barrier.wait()  # all have begun
            file.write(texts[number])
            barrier.wait()  # and none has ended

    assert together(4, write) == []
    assert (tmp_path / "a.json").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_threads_that_write_a_folder_at_once_leave_it_as_one_of_them_wrote_it(tmp_path):
    def write(number, barrier):
        def fill(folder):
            barrier.wait()
            for name in "ab":
                (folder / name).write_text(str(number))
            barrier.wait()

        write_folder(tmp_path / "export", fill)

    assert together(4, write) == []
    first, second = ((tmp_path / "export" / name).read_text() for name in "ab")
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_attempt_of_another_thread_is_not_taken_for_what_a_killed_process_left(tmp_path):
    def fill(folder):
        write_folder(tmp_path / "export", lambda inner: (inner / "a").write_text("inner"))
        (folder / "a").write_text("outer")

    write_folder(tmp_path / "export", fill)
    assert (tmp_path / "export" / "a").read_text() == "outer"
