"""Names every piece: a small seeded grammar of progressive-rock titles."""

from __future__ import annotations

import random
import re

LONGEST = 59

# One rule per word in braces; the first letter of every word is already as the sleeve prints it.
_GRAMMAR: dict[str, tuple[str, ...]] = {
    "title": (
        "The {person}'s {ordinal} {thing}",
        "The {person}'s {ordinal} {thing}",
        "The {person}'s {adjective} {thing}",
        "{number} {things} for a {adjective} {person}",
        "{number} {things} Below {place}",
        "The {adjective} {person} of {place}",
        "The {thing} at the End of {place}",
        "{doing} the {adjective} {thing}",
        "{doing} the {person}'s {thing}",
        "{thing} of the {adjective} {things}",
        "{place}, Part {roman}",
        "{place}: Suite in {roman} Movements",
        "Overture for {number} {things}",
        "A {thing} Made of {stuff}",
        "{stuff} and {stuff}",
        "The {things} Who Ate the {thing}",
        "{time} in {place}",
        "{time} with the {person}",
        "Letter from the {adjective} {thing}",
        "In the {place_noun} of the {person} (Part {roman})",
        "Do Not Wake the {adjective} {person}",
        "{ordinal} Dream of the {person}",
        "How the {person} Lost the {thing}",
    ),
    "person": (
        "Clockmaker", "Lamplighter", "Cartographer", "Beekeeper", "Astronomer", "Ferryman",
        "Glassblower", "Archivist", "Weathervane", "Falconer", "Alchemist", "Bell Ringer",
        "Toll Keeper", "Organ Grinder", "Locksmith", "Moth Collector", "Stationmaster",
        "Tide Warden", "Ventriloquist", "Heron King", "Piano Tuner", "Mirror Thief", "Postmistress",
        "Snow Merchant", "Lighthouse Widow", "Gardener",
    ),
    "thing": (
        "Staircase", "Orrery", "Aqueduct", "Pendulum", "Carousel", "Observatory", "Cathedral",
        "Hourglass", "Labyrinth", "Lantern", "Telescope", "Harpsichord", "Compass", "Balloon",
        "Greenhouse", "Drawbridge", "Almanac", "Parade", "Silence", "Shadow", "Umbrella",
        "Metronome", "Engine", "Garden", "Waltz", "Planetarium", "Signal", "Tapestry", "Equation",
        "Afternoon",
    ),
    "things": (
        "Herons", "Moons", "Clocks", "Lanterns", "Foxes", "Giants", "Sundials", "Mirrors",
        "Cathedrals", "Moths", "Comets", "Pilgrims", "Bells", "Weathercocks", "Chess Players",
        "Owls", "Zeppelins", "Oceans", "Tin Soldiers", "Whales", "Candles", "Gatekeepers",
        "Unfinished Bridges", "Paper Kings",
    ),
    "adjective": (
        "Crimson", "Patient", "Upside-Down", "Velvet", "Reluctant", "Hollow", "Mechanical",
        "Forgotten", "Amber", "Nocturnal", "Infinite", "Drowned", "Electric", "Sleeping", "Ivory",
        "Wandering", "Half-Built", "Silver", "Invisible", "Northern", "Luminous", "Backward",
        "Borrowed", "Solemn", "Porcelain", "Restless",
    ),
    "ordinal": (
        "First", "Second", "Third", "Fifth", "Seventh", "Eighth", "Ninth", "Eleventh", "Thirteenth",
        "Last", "Penultimate", "Hundredth", "Other",
    ),
    "number": (
        "Five", "Seven", "Nine", "Eleven", "Thirteen", "Three", "Forty", "A Thousand", "Too Many",
        "No",
    ),
    "place": (
        "Saturn", "the Tin Mountain", "Meridian", "the Salt Road", "Babel", "the Glass Fen",
        "Winter Harbour", "the Hanging Station", "Thule", "the Copper Sea", "Lyonesse",
        "the Seventh Orchard", "Ganymede", "the Quiet Quarter", "Evensong", "the Marble Delta",
        "Lower Andromeda", "the Ninth Canal", "Umbria",
    ),
    "place_noun": (
        "Court", "Hall", "Cellar", "Attic", "Valley", "House", "Library", "Shadow",
    ),
    "stuff": (
        "Amber", "Rain", "Moonlight", "Rust", "Smoke", "Honey", "Thunder", "Ash", "Ivy", "Chalk",
        "Frost", "Gold",
    ),
    "doing": (
        "Tuning", "Crossing", "Burying", "Waking", "Counting", "Unwinding", "Climbing", "Forgiving",
        "Chasing", "Teaching", "Painting", "Leaving", "Answering", "Inventing", "Outliving",
        "Borrowing",
    ),
    "time": (
        "Midnight", "Sunday", "Half Past Never", "One Long Tuesday", "Dawn", "A Century",
        "Eleven Winters", "Dusk",
    ),
    "roman": (
        "II", "III", "IV", "V", "VI", "VII", "IX", "XI", "XIII",
    ),
}  # fmt: skip


def title_for(seed: int) -> str:
    """Give the title that belongs to `seed`: plain ASCII, at most `LONGEST` characters."""
    dice = random.Random(f"{seed}/title")
    while True:
        text = "{title}"
        used: set[str] = set()
        while hole := re.search(r"\{(\w+)\}", text):
            # No word twice in one title: "Amber and Amber" is a misprint, not a name.
            word = dice.choice([word for word in _GRAMMAR[hole[1]] if word not in used])
            used.add(word)
            text = text[: hole.start()] + word + text[hole.end() :]
        text = re.sub(r"\b([Aa]) (?=[AEIOU])", r"\1n ", text[0].upper() + text[1:])
        if len(text) <= LONGEST:
            return text
