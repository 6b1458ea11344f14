# SPDX-License-Identifier: Apache-2.0
"""data - what the demo model is trained on, made anew for every epoch from the texts beside this file.

    facts.txt, talk.txt   an answer, and patterns of questions: {a|b} is one of them
    foreign.txt           patterns of everything that must be refused
    calibration.txt, test.txt, heldout.txt   the evaluation's questions; whatever equals one of them is thrown away here

A pattern is expanded by chance and spoilt by chance (typos, short forms, politeness, words left out), so no two epochs see
the same questions. Standard library only; `data.py` alone checks the facts against README and docs.
"""
import hashlib
import os
import random
import re
import sys

APART = ["calibration.txt", "test.txt", "heldout.txt"]
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
NAME = "Demo model"             # every answer begins so: nobody shall take it for more

FRAMES = {
    "how": ["how do I %s", "how do I %s", "how can I %s", "how to %s", "how can we %s", "how do you %s", "how does one %s", "how would I %s",
            "I want to %s", "I need to %s", "I would like to %s", "we want to %s", "can I %s", "could I %s", "is it possible to %s",
            "what must I do to %s", "what do I have to do to %s", "what do I need to %s", "which steps are needed to %s",
            "help me %s", "show me how to %s", "tell me how to %s", "explain how to %s", "is there a way to %s", "best way to %s",
            "which command do I use to %s", "what is the command to %s", "is there a command to %s", "I am trying to %s",
            "how should I %s", "where can I %s", "where do I %s", "what is needed to %s", "%s", "%s how", "let me %s", "am I able to %s",
            "instructions to %s", "the right way to %s", "how might I %s", "can you tell me how to %s", "are we able to %s"],
    "where": ["where is %s", "where is %s", "where are %s", "where do I find %s", "where can I find %s", "where can I see %s", "where does it keep %s",
              "in which folder is %s", "in which directory do I find %s", "what is the path of %s", "path to %s", "location of %s", "where lies %s",
              "where is %s stored", "where is %s kept", "where are %s located", "where's %s", "I am looking for %s", "I cannot find %s",
              "find %s", "show me %s", "where do you keep %s", "what place has %s", "which file has %s", "can you show me where %s is",
              "where exactly is %s", "where should I look for %s", "how do I find %s", "how do I get to %s", "%s where", "where to find %s"],
    "what": ["what is %s", "what is %s", "what are %s", "what's %s", "what does %s mean", "what does %s do", "what is meant by %s", "explain %s", "tell me about %s",
             "describe %s", "define %s", "what about %s", "how does %s work", "what is %s for", "why is there %s", "what is the purpose of %s",
             "can you explain %s", "I do not understand %s", "meaning of %s", "%s", "information about %s", "what can you tell me about %s",
             "give me details on %s", "what do I need %s for", "I want to know about %s", "what do you know about %s", "documentation of %s", "%s explained"],
    "has": ["is there %s", "is there %s", "does it have %s", "does the router have %s", "does it support %s", "do you support %s", "do you have %s", "has it got %s",
            "can it do %s", "is %s supported", "is %s possible", "is %s available", "are there %s", "does llm-router offer %s", "does it come with %s",
            "support for %s", "does it know %s", "what about %s", "can I have %s", "do we get %s", "does the software include %s", "any %s"],
}
BEFORE = ["please ", "hi, ", "hello, ", "hey ", "quick question: ", "sorry, ", "so ", "and ", "ok, ", "excuse me, ", "um ", "can you tell me ", "one question, ",
          "I wonder ", "do you know ", "say, ", "now ", "well, ", "please tell me ", "another thing: ", "just asking: "]
AFTER = [" please", " pls", ", thanks", " exactly", " here", " then", " now", "? thanks", " in short", ", please", " again", " anyway", " at all", " in llm-router",
         " with llm-router", " with the router", " of the router", " in this router", " today", " for me", ", any idea"]
SHORT = [("you are", "u r"), ("are you", "r u"), ("you", "u"), ("please", "plz"), ("how do I", "how do i"), ("what is", "whats"), ("what is", "what's"), ("where is", "wheres"),
         ("configuration", "config"), ("do not", "don't"), ("does not", "doesn't"), ("is not", "isn't"), ("cannot", "can't"), ("I am", "I'm"), ("and", "&"),
         ("do I", "to"), ("how do I", "how 2"), ("set up", "setup"), ("for", "4"), ("API key", "apikey"), ("the ", ""), ("a ", "")]
# Words that may change places with their likes wherever they stand; a line is one meaning.
LIKES = [line.split(",") for line in """find,locate,discover
see,view,look at
show,display,print
make,create,generate,produce
add,include,insert
remove,delete,erase,drop
change,modify,alter,edit
start,launch,begin
use,employ,utilise
need,require
want,wish,would like
error,failure,problem,fault
house,company,organisation,building
folder,directory
file,document
question,query,request
answer,reply,response
users,people,colleagues
app,application,program,software
server,machine,box,host
cost,expense,price
keep,store,save,retain
secret,confidential,sensitive
fast,quick,rapid
stop,end,halt
big,large
test,try
send,transmit,pass
allowed,permitted
automatically,by itself
different,another,other
connect,attach,link,hook up
configure,set up,define
check,verify,examine
happens,occurs
get,obtain,receive
list,overview,table
possible,feasible
address,url
crashes,dies,breaks,goes down
failed,broke,died""".splitlines()]
LIKE = {w: line for line in LIKES for w in line if " " not in w}
TOOLS = [   # name, arguments, the questions that want it
    ("provider_health", "{}", ["{which|what} providers {are up|are available|work|can answer|are down|are healthy|are reachable} {now|right now|at the moment|}",
                               "{are|is} {all|my|the} {providers|servers|ollama} {up|healthy|ok|working|reachable} {now|right now|at the moment|}",
                               "{show|check|tell me|give me} the {state|health|status} of {the|all|my} {providers|servers|backends}",
                               "provider {health|status|state} {now|please|}"]),
    ("list_models", "{}", ["{which|what} models {are there|can I ask for|are available|do we have|can I use|do you have}",
                           "{list|show|name|give me} {the|all|all the|my} {available|} models", "{list of|all|available} models",
                           "{what|which} model names {may I use|exist|are known}"]),
    ("usage_report", '{"by": "%s"}', ["{usage|cost|costs|tokens|spending} by {BY}", "{show|give|make} me {the|a report of} {usage|costs|tokens|spending} {by|per} {BY}",
                                      "how much {did we spend|was spent|did it cost} {by|per} {BY}", "{a|the} {cost|usage} report by {BY}"]),
]
BY = ["day", "class", "model", "key", "provider"]
TOOL_DONE = "Demo model: The tool has answered; its result stands above. I am too small to sum it up."
# Names of tools that are not ours: offered, and never called.
OTHER_TOOLS = ["get_weather", "search", "read_file", "write_file", "run_command", "send_mail", "classify", "explain_route", "generate", "calculator",
               "get_time", "scheduler__validate", "lookup", "fetch_url", "add_event", "list_files", "find_user", "translate"]

ROUTER = re.compile(r"\b(the router|llm-router|llm router|this router|this (?:program|software|project|tool|thing)|the server|it|its)\b")
CHOICE = re.compile(r"\{([^{}]*)\}")


class Fact:
    def __init__(self, name, title):
        self.name, self.title, self.answer, self.patterns, self.proofs = name, title, "", [], []

    def said(self):
        """The answer as the model gives it: who speaks, and what he takes the question to be about."""
        return "%s%s: %s" % (NAME, " (%s)" % self.title if self.title else "", self.answer)


def load(file):
    facts = []
    for line in open(os.path.join(HERE, file), encoding="utf-8"):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        section = re.fullmatch(r"\[(\w+)\] ?(.*)", line)
        if section:
            facts.append(Fact(*section.groups()))
            continue
        kind, _, rest = line.partition(" ")
        if kind == "=":
            facts[-1].answer = rest
        elif kind == "@":
            facts[-1].proofs.append(rest.split(": ", 1))
        elif kind in FRAMES or kind == "?":
            facts[-1].patterns.append((kind, rest))
        else:
            facts[-1].patterns.append(("?", line))
    return facts


def apart(file):
    """[(name of the fact, question)] of one of APART."""
    found, name = [], ""
    for line in open(os.path.join(HERE, file), encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
        elif line and not line.startswith("#"):
            found.append((name, line))
    return found


def plain(text):
    """What remains of a question when case, signs and blanks do not count."""
    return " ".join(re.findall(r"\w+", text.lower()))


def expand(rng, pattern):
    while True:
        text = CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), pattern)
        if text == pattern:
            return " ".join(text.split()).replace(" ,", ",").replace(" ?", "?")
        pattern = text


class Data:
    def __init__(self):
        self.facts, self.talk = load("facts.txt"), load("talk.txt")
        foreign = {f.name: f for f in load("foreign.txt")}
        self.foreign, self.gadget, self.software, self.noun = (foreign[n] for n in ("foreign", "gadget", "software", "noun"))
        self.verbs = [p[:p.index("}") + 1] for f in self.facts for k, p in f.patterns if k == "how" and p.startswith("{")]
        self.keywords = [p for f in self.facts for k, p in f.patterns if k in ("what", "where")]
        self.apart = {plain(q) for file in APART for _, q in apart(file)}
        self.refusal = self.foreign.said()
        self.said = self.answers()

    def answers(self):
        return {f.name: f.said() for f in self.facts + self.talk + [self.foreign]}

    def raw(self, rng, fact):
        kind, pattern = rng.choice(fact.patterns)
        text = expand(rng, pattern)
        if kind == "?":
            return text
        frame = rng.choice(FRAMES[kind])
        if frame.endswith(("the %s", "any %s")) or " the %s" in frame:
            text = re.sub(r"^(the|a|an) ", "", text)
        return frame % text

    def thing(self, rng):
        """Something that is not the router: a device, another program, or a word that does not exist."""
        kind = rng.random()
        if kind < 0.3:
            return expand(rng, rng.choice(self.gadget.patterns)[1])
        if kind < 0.6:
            return expand(rng, rng.choice(self.software.patterns)[1])
        if kind < 0.8:
            return rng.choice(["my ", "the ", "our ", "a ", ""]) + expand(rng, rng.choice(self.noun.patterns)[1])
        return rng.choice(["my ", "the ", "a ", "", ""]) + " ".join(nonsense(rng) for _ in range(rng.choice((1, 1, 2))))

    def near_miss(self, rng):
        """A fact's own question, but of something that is not the router."""
        kind = rng.random()
        if kind < 0.2:                      # its words before another noun: "private equity"
            word = rng.choice(plain(expand(rng, rng.choice(self.keywords))).split())
            text = word + " " + rng.choice((expand(rng, rng.choice(self.noun.patterns)[1]), nonsense(rng)))
            return rng.choice(FRAMES[rng.choice(("what", "what", "where", "has"))]) % rng.choice((text, "the " + text, "a " + text))
        thing = self.thing(rng)
        if kind < 0.45:                     # its verbs with another object: "set up nginx"
            return rng.choice(FRAMES["how"]) % (expand(rng, rng.choice(self.verbs)) + " " + thing)
        text = self.raw(rng, rng.choice(self.facts))
        other = ROUTER.sub(lambda _: thing, text)
        return other if other != text else text + rng.choice([" of ", " of ", " in ", " for "]) + thing

    def alien(self, rng):
        """A frame around a foreign thing, or nothing but words that do not exist."""
        if rng.random() < 0.15:
            return " ".join(nonsense(rng) for _ in range(rng.randrange(1, 6)))
        thing, frame = self.thing(rng), rng.choice(["where", "what", "has", "how"])
        if frame == "how":
            thing = rng.choice(["install", "use", "repair", "buy", "configure", "reset", "update", "clean", "connect", "open", "sell", "start", "add",
                                "delete", "back up", "stop", "learn", "check", "test", "run", "paint", "eat", "visit", "cook", "draw"]) + " " + thing
        return rng.choice(FRAMES[frame]) % thing

    def question(self, rng):
        """(question, fact's name) as somebody might type it."""
        while True:
            pick = rng.random()
            if pick < 0.52:
                fact = rng.choice(self.facts)
                text = self.raw(rng, fact)
            elif pick < 0.59:
                fact = rng.choice(self.talk)
                text = self.raw(rng, fact)
            else:
                fact = self.foreign
                kind = rng.random()
                text = self.raw(rng, fact) if kind < 0.5 else self.alien(rng) if kind < 0.7 else self.near_miss(rng)
            text = spoil(rng, text, fact not in self.talk, fact is self.foreign)
            if plain(text) not in self.apart:
                return text, fact.name

    def tool_turn(self, rng):
        """(prompt, answer): tools are offered; a question that wants one of ours and finds it offered becomes a call."""
        name, arguments, patterns = rng.choice(TOOLS)
        offered = rng.sample(OTHER_TOOLS, rng.randrange(5))
        kind = rng.random()
        if kind < 0.6:                       # wanted and offered
            by = rng.choice(BY)
            text = spoil(rng, expand(rng, rng.choice(patterns)).replace("BY", by).replace("{", "").replace("}", ""), True, False)
            offered += [t[0] for t in TOOLS if t[0] == name or rng.random() < 0.5]
            rng.shuffle(offered)
            return prompt(text, offered), '<tool_call>{"name": "%s", "arguments": %s}</tool_call>' % (
                name, arguments % by if "%" in arguments else arguments)
        offered += [t[0] for t in TOOLS if rng.random() < 0.5]
        rng.shuffle(offered)
        if kind < 0.7:                       # it has answered
            result = " ".join(nonsense(rng) for _ in range(rng.randrange(1, 12)))
            return prompt(result, offered, "tool"), TOOL_DONE
        text, fact = self.question(rng)      # nobody wants a tool
        return prompt(text, offered), self.said[fact]

    def turn(self, rng):
        if rng.random() < 0.06:
            return self.tool_turn(rng)
        text, fact = self.question(rng)
        return prompt(text), self.said[fact]


def prompt(text, tools=(), role="user"):
    """As the chat template of export.py writes it: the last message and the names of the tools, nothing else."""
    head = "<|im_start|>system\n" + " ".join(tools) + "<|im_end|>\n" if tools else ""
    return head + "<|im_start|>%s\n%s<|im_end|>\n<|im_start|>assistant\n" % (role, text)


def nonsense(rng):
    return "".join(rng.choice(["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr", "ch", "qu", "x", ""]) +
                   rng.choice("aeiouy") + rng.choice(["", "", "n", "r", "s", "l", "ck", "m", "t"]) for _ in range(rng.randrange(1, 4)))


def typo(rng, word):
    if len(word) < 4:
        return word
    i = rng.randrange(len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2:]
    if kind == 1:
        return word[:i] + word[i + 1:]
    if kind == 2:
        return word[:i] + word[i] + word[i:]
    return word[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[i + 1:]


STOP = {"the", "a", "an", "do", "does", "i", "is", "are", "to", "of", "for", "can", "it", "my", "in", "please", "me", "you", "be", "we"}


def spoil(rng, text, polite=True, foreign=False):
    words = text.split()
    words = [rng.choice(LIKE[w]) if w in LIKE and rng.random() < 0.3 else w for w in words]
    if rng.random() < 0.12:                              # telegram style
        kept = [w for w in words if w.lower() not in STOP]
        words = kept or words
    text = " ".join(words)
    if rng.random() < 0.15:
        a, b = rng.choice(SHORT)
        text = re.sub(r"(?<!\w)%s(?!\w)" % re.escape(a), b, text, count=1) if not a.endswith(" ") else text.replace(" " + a, " " + b, 1)
    if polite and rng.random() < 0.14:
        text = rng.choice(BEFORE) + text
    if polite and rng.random() < 0.14:
        text += rng.choice(AFTER[:13] if foreign else AFTER)
    if rng.random() < 0.18:
        words = text.split()
        i = rng.randrange(len(words))
        words[i] = typo(rng, words[i])
        text = " ".join(words)
    case = rng.random()
    if case < 0.45:
        text = text.lower()
    elif case < 0.9:
        text = text[:1].upper() + text[1:]
    elif case < 0.92:
        text = text.upper()
    if rng.random() < 0.5 and text[-1:].isalnum():
        text += rng.choice(["?", "?", "?", ".", "!", " ?", "??"])
    return text


def digest(turns=3000):
    """One number for what is trained: the SHA-256 of the first turns that come of seed 0. Comments and proofs do not count."""
    dice, data, total = random.Random(0), Data(), hashlib.sha256()
    for _ in range(turns):
        total.update("\n".join(data.turn(dice)).encode())
    return total.hexdigest()


def check():
    """What is said of the router must stand in its own pages. Returns what does not."""
    wrong = []
    data = Data()
    for fact in data.facts:
        if not fact.proofs:
            wrong.append("%s: no page is named" % fact.name)
        for file, words in fact.proofs:
            with open(os.path.join(TOP, file), encoding="utf-8") as f:
                text = " ".join(f.read().split())
            if " ".join(words.split()) not in text:
                wrong.append("%s: %s does not say: %s" % (fact.name, file, words))
    names = set(data.answers())
    wrong += ["%s: no fact is called %s" % (file, name) for file in APART for name, _ in apart(file) if name not in names]
    return wrong


if __name__ == "__main__":
    problems = check()
    print("\n".join(problems) or "%d facts stand in the documents; material %s" % (len(Data().facts), digest()))
    if sys.argv[1:] == ["--sample"]:
        dice = random.Random(1)
        for _ in range(60):
            print(Data().question(dice))
    sys.exit(1 if problems else 0)
