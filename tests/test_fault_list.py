"""The list of faults in docs/how-we-know.md: every fault in it has a test, every test exists, and the numbers are right."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "how-we-know.md"
FEWEST = 46
HEADER = "| group | fault | simulated | real |"
GROUPS = {"process", "network", "ensemble", "session, data", "time", "resources, access", "one host"}


@dataclass(frozen=True)
class Fault:
    """One row. Tests as written: `file::test` or `file::test[parameter]`."""

    group: str
    name: str
    simulated: tuple[str, ...]
    real: tuple[str, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        return self.simulated + self.real


def faults() -> list[Fault]:
    _, _, table = DOCUMENT.read_text().partition(HEADER + "\n")
    found = []
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        group, name, simulated, real = (cell.strip() for cell in line.strip("|").split("|"))
        found.append(Fault(group, name, tuple(re.findall("`(.+?)`", simulated)), tuple(re.findall("`(.+?)`", real))))
    return found


def exists(test: str) -> bool:
    """Whether its file has such a test, and one of its parameters is called so."""
    file, _, name = test.partition("::")
    name, _, parameter = name.rstrip("]").partition("[")
    source = (ROOT / "tests" / f"{file}.py").read_text()
    found = re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
    return found is not None and name.startswith("test_") and re.search(rf"\b{parameter}\b", source) is not None


def test_what_exists() -> None:
    assert exists("test_fault_list::test_what_exists")
    assert exists("test_simulated_elections::test_scene[hand_over]")
    assert not exists("test_fault_list::test_what")
    assert not exists("test_fault_list::exists")
    assert not exists("test_simulated_elections::test_scene[hand_" + "under]")


def test_every_listed_test_exists() -> None:
    assert [test for fault in faults() for test in fault.tests if not exists(test)] == []


def test_there_are_enough_faults_and_each_has_a_test() -> None:
    listed = faults()
    assert len({fault.name for fault in listed}) == len(listed) >= FEWEST
    assert [fault.name for fault in listed if not fault.tests] == []
    assert {fault.group for fault in listed} == GROUPS


def test_no_test_stands_for_two_faults() -> None:
    counted = Counter(test for fault in faults() for test in fault.tests)
    assert [test for test, number in counted.items() if number > 1] == []
    for test in counted:  # nor a whole test beside one of its parameters
        assert not [other for other in counted if other != test and other.startswith(f"{test}[")]


def test_simulated_is_simulated_and_real_is_real() -> None:
    for fault in faults():
        assert all("simulated" in test.partition("::")[0] for test in fault.simulated), fault
        assert not any("simulated" in test.partition("::")[0] for test in fault.real), fault


def test_the_numbers_in_the_text() -> None:
    listed = faults()
    both = sum(bool(fault.simulated and fault.real) for fault in listed)
    simulated = sum(not fault.real for fault in listed)
    numbers = (
        f"{len(listed)} faults: {both} both simulated and real, {simulated} simulated only, "
        f"{len(listed) - both - simulated} real only."
    )
    assert numbers in DOCUMENT.read_text()


def test_files_that_are_named_exist() -> None:
    """In the tables of ways and invariants, where `*` stands for several."""
    text = DOCUMENT.read_text()
    for name in re.findall(r"`(test_\w+\*?)`", text):
        assert list((ROOT / "tests").glob(f"{name}.py")), name
    for name in re.findall(r"`(?:tests|aioha)/[\w./]+`", text):
        assert (ROOT / name.strip("`")).exists(), name
    for name in re.findall(r"\]\((\w+\.md)\)", text):
        assert (DOCUMENT.parent / name).exists(), name
