"""Tables of (kind, gold, right predictions, wrong predictions), written from what the answers mean."""

from observer.types import Verdict
from observer.verifier.verify import infer_kind, verify
from tables import holds_for

SHAPES = ("square", "dot", "red circle")

NUMBERS = [
    ("integer", "7", ["7", "+7", "7.0", "14/2", "7 cm", "**7**", r"7\,", "`7`"],
     ["８", "7%", "-7", "70"]),
    ("integer", "-3", ["-3", "\u22123", "$-3$", "- 3", "-6/2"], ["3", "--3", "-3.01", "+-3"]),
    ("integer", "1,234", ["1234", "1,234", r"1\,234", "1234.0", "1.234e3"], ["1,2,34", "1 234", "1.234",
     "234"]),
    ("integer", "0", ["0", "-0", "0.0", "0/5"], ["", "-", "1", "0.001", "O"]),
    ("integer", "100000", ["10^5", "1e5", r"10^{5}", r"1 \times 10^5", "1·10^5"], ["10^4", "10^", "10^{5",
     "^5"]),
    ("number", "0.5", ["1/2", ".5", "0.50", r"\frac12", "5e-1", r"\tfrac{1}{2}"], ["50", "0.6", "0,5",
     "1/20"]),
    ("number", "2.25", ["9/4", "2 1/4", r"2\frac{1}{4}", r"$2 \frac14$"], ["2.3", "21/4", "2 5/4", "-2 1/4"]),
    ("number", "-1.5", ["-3/2", "-1 1/2", r"-\frac{3}{2}", r"\frac{-3}{2}"], ["1.5", "1 1/2", "-1.6",
     r"-\frac{-3}{2}"]),
    ("number", "25%", ["25%", r"25\%", "25 percent", "25.0 %", "$25$%"], ["25", "0.25", "1/4", "26%",
     "25%%"]),
    ("number", "1/3", ["2/6", "0.333333333", r"\dfrac{1}{3}"], ["0.33", "0.3", "1/4", "3", "1//3"]),
    ("number", "6.02e23", ["6.02 x 10^23", r"6.02 \times 10^{23}", "6.022e23"], ["6.1e23", "6.02e22", "6.02",
     "6.02e"]),
    ("number", "7 cm", ["7 cm", "7", "7cm", "70 mm", "0.07 m", r"7\text{ cm}", r"$7\,\mathrm{cm}$",
     "7 centimeters"], ["7 m", "7 kg", "7 cm^2", "7 apples", "0.7 cm", "7 mm", "8", "cm", "7 cm cm"]),
    ("number", "1.5 m", ["150 cm", "1.5", "1.5 metres", "1.52 m", "1500 mm"], ["15 cm", "1.5 s", "1.6 m",
     "1.5 m/s"]),
    ("number", "12 cm^2", ["12 cm²", "12 square centimeters", "12 sq cm", "1200 mm^2", "0.0012 m^2",
     r"12 \text{ cm}^2"], ["12 cm", "12 cm^3", "120 mm^2", "12 m^2"]),
    ("number", "72 km/h", ["20 m/s", "72 kilometers per hour", "72 kmh", r"20\ \text{m/s}", "20 m s^-1",
     r"20 m s^{-1}"], ["72 m/s", "72 km", "72 h/km", "20 km/h"]),
    ("number", "$5", ["5", "$5", r"\$5", r"$\$5.00$", "5 dollars", "500 cents", "5 USD"], ["€5", "5 cents",
     "$50", "5%"]),
    ("number", "60^\\circ", ["60", "60°", "60 degrees", r"$60^{\circ}$", r"60\degree"], ["60 rad", "61°",
     "60°C", "6"]),
    ("number", "20 °C", ["20", "68 °F", "293.15 K", "20 degrees Celsius", r"20^\circ\text{C}"], ["20 °F",
     "20°", "20 K"]),
    ("number", "2 h", ["120 min", "2 hours", "7200 s", "2 hrs", "2"], ["2 min", "120 s", "120", "2 m"]),
    ("number", "3 kg", ["3000 g", "3 kilograms", "3 KG"], ["3 g", "3 lb", "300 g"]),
    ("number", "1 mile", ["1.609344 km", "5280 ft", "1760 yards"], ["1.6 km", "1 km", "1 nmi"]),
    ("number", "9.8 m/s^2", ["9.8 m/s²", "9.81 m s^-2", "9.8 N/kg", "980 cm/s^2"], ["9.8 m/s", "9.8 N",
     "10 m/s^2"]),
    ("number", "4 MW", ["4000 kW", "4 megawatts", "4 MJ/s"], ["4 mW", "4 kW", "4 mw"]),
    ("number", "10 Ω", ["10 ohm", r"10\,\Omega", "10 ohms", "10 V/A", "0.01 kΩ"], ["10 V", "10 kΩ"]),
    ("number", "12 units", ["12", "12 unit"], ["12 square units", "12 cm"]),
    ("number", "2 inches", ["5.08 cm", "2 in", "2 in.", '2"'], ["2 ft", "2 cm"]),
]  # fmt: skip
WORDS = [
    ("choice", "B", ["B", "b", "(B)", "B.", r"\boxed{B}", "**B**", "b)"], ["A", "AB", "Bee", "option",
     "B, C", "8"]),
    ("choice", "C. circle", ["C", "circle", "c. Circle"], ["C. square", "square", "D", "circles"]),
    ("multi_select", "A, C", ["C, A", "A and C", "AC", "(A)(C)", "A; C", "[A, C]", "a, c", "A, C, A",
     "A & C", "{A,C}", r"$\text{A, C}$", "A,C"], ["A", "C", "A, B, C", "A, B", "A, ", "ac", "A C D", "all",
     "A or C", ","]),
    ("multi_select", "B", ["B", "(B)"], ["A", "A, B"]),
    ("yes_no", "yes", ["Yes", "YES.", "true", '"yes"', r"\text{Yes}", "True"], ["no", "false", "yes and no",
     "yess", "y", "1"]),
    ("yes_no", "False", ["no", "No.", "false"], ["true", "yes", "not", "0", "nope"]),
    ("text", "red", ["red", "Red.", " RED ", '"red"', "“Red”", "the red", r"\text{red}", "$red$", "**red**",
     "r\u200bed"], ["dark red", "redd", "re", "blue", "red or blue", "not red", "", "r e d"]),
    ("text", "the Eiffel Tower", ["Eiffel tower", "Eiffel  Tower", "“The Eiffel Tower”."], ["Eiffel",
     "tower Eiffel"]),
    ("text", "café", ["cafe\u0301", "Café", "CAFÉ"], ["cafe", "cafés"]),
    ("text", "ﬁve", ["five", "Five"], ["fve", "5"]),
    ("text", "10-15", ["10-15", "10\u221215"], ["-5", "10 to 15", "15-10"]),
    ("text", "a", ["a", "A"], ["the", "b", ""]),
    ("time", "14:35", ["2:35 pm", "14:35:00", "2:35 P.M.", "2:35pm", "14 : 35", r"2{:}35\text{ pm}"],
     ["2:35", "14:36", "14.35", "1435", "2:35 am", "14:35 pm", "35:14"]),
    ("time", "2 pm", ["14:00", "2:00 PM", "2 p.m.", "02:00 pm"], ["2", "2:00", "2 am", "12 pm"]),
    ("time", "12:05 am", ["0:05", "00:05", "12:05 AM"], ["12:05", "12:05 pm", "24:05", "0:5"]),
    ("time", "9:07", ["09:07", "9:07 am", "9:07:00"], ["9:7", "9:70", "9:07:01", "7:09", "9"]),
]  # fmt: skip
SEQUENCES = [
    ("tuple", "(3,4)", ["(3, 4)", "3, 4", r"\left(3, 4\right)", "(3.0, 8/2)", r"\boxed{(3,4)}", "$ (3;4) $",
     r"\langle 3,4\rangle"], ["(4,3)", "[3,4]", "{3,4}", "(3)", "34", "3.4", "(3,4,5)", "(3,4", "(3,,4)",
     "3", "(3 4)x", "((3,4))"]),
    ("tuple", "(0.5, 2)", ["(1/2, 2)", r"(\frac{1}{2}, 2)", "(.5, 2.0)"], ["(0.6, 2)", "(2, 0.5)",
     "(0.5, 2.1)", "(0,5,2)"]),
    ("tuple", "(1, 2, 3)", ["1, 2, 3", "(1,2,3)"], ["1, 2", "(1, 3, 2)", "(1, 2, 3, 3)"]),
    ("tuple", "(red, 3)", ["(Red, 3)", "red, 3.0"], ["(3, red)", "(red, red)", "(blue, 3)"]),
    ("tuple", "(1,234)", ["(1, 234)", "1, 234"], ["1234", "(1234)", "(1, 2, 34)"]),
    ("interval", "[1, 2)", ["[1,2)", "[1.0, 2)", r"\left[1, 2\right)", r"[1, \frac{4}{2})"], ["(1, 2)",
     "[1, 2]", "(1, 2]", "1, 2", "[2, 1)", "[1, 3)", "{1, 2}", "[1, 2", "[1)", "[1, 2, 3)"]),
    ("interval", "(-\\infty, 3]", ["(-∞, 3]", "(-inf, 3]", "(-infinity, 3]", r"(-\infty,3]"],
     [r"(\infty, 3]", "[-∞, 3]", "(-∞, 3)", "(3, -∞]", r"(-\infty, 4]"]),
    ("interval", r"(-\infty, 1) \cup (2, \infty)", ["(2, ∞) ∪ (-∞, 1)", "(-inf, 1) U (2, +inf)",
     "(-∞,1) or (2,∞)"], ["(-∞, 1)", "(2, ∞)", "(-∞, 1] ∪ (2, ∞)", "(-∞, 2) ∪ (1, ∞)", "(1, 2)",
     "(-∞,1) ∪ (2,∞) ∪ (5,6)"]),
    ("interval", "(1, 2)", ["(1, 2)"], ["[1, 2]", "1, 2", "(2, 1)"]),
    ("set", "{1, 2, 3}", ["{3, 2, 1}", r"\{1,2,3\}", "1, 2, 3", "{1, 1, 2, 3}", r"\left\{2, 3, 1\right\}",
     "3, 2 and 1", "{1; 2; 3}"], ["{1, 2}", "{1, 2, 4}", "(1, 2, 3)", "[1, 2, 3]", "{1, 2, 3, 4}", "6", "{}",
     "{1, 2, 3"]),
    ("set", "{0.5, red}", ["{red, 1/2}", "Red, .5"], ["{red}", "{0.5, blue}", "{red, 0.6}"]),
    ("set", r"\emptyset", ["{}", "∅", r"\varnothing", r"\{\}"], ["0", "{0}", "{∅}", "empty"]),
    ("set", "{(1, 2), (3, 4)}", ["{(3, 4), (1, 2)}"], ["{(1, 2)}", "{(2, 1), (3, 4)}", "{1, 2, 3, 4}"]),
    ("list", "1228 142.67", ["1228 142.67", "1228, 142.67", "[1228, 142.67]", "1,228 142.67",
     "1228 and 142.67", "1228; 142.67", "1,228, 142.67"], ["142.67", "1228", "142.67 1228", "1228 142.7",
     "1228 142.67 5", "1228142.67", "(1228, 142.67)"]),
    ("list", "1, 2, 3", ["1,2,3", "[1, 2, 3]", "1 2 3", "1, 2 and 3", "1, 2, and 3", "1; 2; 3"], ["3, 2, 1",
     "1, 2", "123", "6", "1, 2, 3, 4", "{1, 2, 3}"]),
    ("list", "red, blue", ["Red, Blue", "red; blue", "[red, blue]", '["red", "blue"]'], ["blue, red", "red",
     "red blue"]),
    ("list", "1,234, 5,678", ["1234, 5678", "[1,234; 5,678]", "1234 5678"], ["1, 234, 5, 678", "1234",
     "5678, 1234"]),
    ("list", "3 cm, 4 cm", ["3, 4", "30 mm, 4 cm", "3 cm and 4 cm"], ["3 m, 4 m", "4 cm, 3 cm",
     "3 kg, 4 kg"]),
    ("ratio", "3:4", ["6:8", "3 : 4", "3/4", "1.5:2", "3 to 4", r"3{:}4", r"$3:4$", r"\frac{3}{4}",
     r"3\colon 4"], ["3", "4:3", "4", "0.75", "3:5", "3:4:5", "3:", ":", "-3:-4", "7", "34", "3:4 cm"]),
    ("ratio", "1:2:3", ["2:4:6", "1 : 2 : 3"], ["1:2", "3:2:1", "1:2:3:4", "1:23"]),
]  # fmt: skip


def cases(*tables):
    for table in tables:
        for kind, gold, right, wrong in table:
            yield from ((kind, gold, prediction, Verdict.CORRECT) for prediction in (gold, *right))
            yield from ((kind, gold, prediction, Verdict.WRONG) for prediction in wrong)


@holds_for(("kind", "gold", "prediction", "verdict"), list(cases(NUMBERS, WORDS, SEQUENCES)))
def test_a_prediction_is_right_when_it_means_the_gold_answer(kind, gold, prediction, verdict):
    found, reason = verify(gold, prediction, kind)
    assert found is verdict, reason
    assert reason


def test_the_tables_hold_at_least_400_cases():
    assert len(set(cases(NUMBERS, WORDS, SEQUENCES))) >= 400


@holds_for("kind", ["multi_select", "choice"])
@holds_for(("prediction", "right"), [("B", True), ("dot", True), ("b. dot", True), ("A", False)])
def test_one_option_may_be_asked_for_in_both_kinds_of_choice(kind, prediction, right):
    assert (verify("dot", prediction, kind, SHAPES)[0] is Verdict.CORRECT) is right


def test_several_options_are_chosen_by_letters_texts_or_both():
    for gold in ("A, C", "square, red circle", "AC", "A. square; C. red circle"):
        for prediction in (
            "C and A",
            "Red circle, square",
            "A. square, C. red circle",
            "(A)(C)",
            "square and C",
        ):
            assert verify(gold, prediction, "multi_select", SHAPES)[0] is Verdict.CORRECT, (gold, prediction)
        for prediction in ("A", "A, B", "ABC", "square", "A. dot, C", "A, C, D", "circle, square"):
            assert verify(gold, prediction, "multi_select", SHAPES)[0] is Verdict.WRONG, (gold, prediction)


def test_an_option_with_commas_in_its_text_is_one_option():
    options = ("red, blue", "red", "blue")
    assert infer_kind("red, blue", options) == "choice"
    assert infer_kind("B, C", options) == infer_kind("red; blue", options) == "multi_select"
    assert verify("A", "red, blue", "choice", options)[0] is Verdict.CORRECT


INFERRED = {
    "integer": ["7", "1,234", "-3"],
    "number": ["7.0", "1/4", "25%", "1e5", "7 cm", "$5", "60°", "3.2 km/h", "2 1/4", "10^5", "5 dollars",
    r"3\text{ m}"],
    "yes_no": ["yes", "No.", "TRUE", "false"],
    "time": ["14:35", "2:35 pm", "2 pm", "10:15"],
    "ratio": ["3:4", "1:2:3", "25:30:1", "3 : 4"],
    "interval": ["[1, 2)", "[3,4]", r"(-\infty, 3)", "(1,2) ∪ (3,4)"],
    "tuple": ["(3,4)", "(1, 2, 3)", "(red, 3)"],
    "set": ["{1, 2}", r"\{1, 2\}", "∅", "3 or -3"],
    "list": ["1228 142.67", "1, 2, 3", "[1, 2, 3]", "3 cm, 4 cm", "[5, 2]"],
    "choice": ["E", "(b)", "B. circle"],
    "multi_select": ["A, C", "B and D", "A;B;C"],
    "expression": ["x^2", r"\sqrt{2}", "2x+1", "x=5", r"2\pi", "3m", "(x+1)(x-1)", "sin(x)+1", "4√3",
    r"(0, \frac{\pi}{2})", "5!", "-x", "5 x", "∞", "2π"],
    "text": ["red", "x", "K", "Eiffel Tower", "2019-2020", "7 or more", "3rd", "H2O", "T-shirt", "A-B",
    "red, blue", "C++"],
}  # fmt: skip


@holds_for(("kind", "gold"), [(kind, gold) for kind, golds in INFERRED.items() for gold in golds])
def test_the_kind_follows_from_the_gold_answer(kind, gold):
    assert infer_kind(gold) == kind
