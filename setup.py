"""Puts ``configs/`` into the package of a wheel, so that ``--config quickstart`` needs no repository."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """Copies the shipped configurations beside the modules; an editable install reads the repository's."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "observer" / "configs"
            self.mkpath(str(folder))
            for file in sorted(Path("configs").glob("*.yaml")):
                self.copy_file(str(file), str(folder / file.name))


setup(cmdclass={"build_py": WithConfigs})
