"""Makes english.jsonl from the package chatterbot-corpus 1.3.3: python3 english.py FOLDER_OF_THE_UNPACKED_WHEEL > english.jsonl

Every pair of neighbouring turns once, in the order of the files; needs PyYAML."""
import json, sys, yaml

TOPICS = ["ai", "botprofile", "computers", "conversations", "emotion", "food", "greetings", "health", "history",
          "literature", "money", "movies", "science", "sports", "trivia"]
seen = set()
for topic in TOPICS:
    with open(f"{sys.argv[1]}/chatterbot_corpus/data/english/{topic}.yml", encoding="utf-8") as file:
        conversations = yaml.safe_load(file)["conversations"]
    for turns in conversations:
        turns = [" ".join(str(turn).split()) for turn in turns]
        for pair in zip(turns, turns[1:]):
            if pair not in seen and all(pair):
                seen.add(pair)
                user, assistant = pair
                print(json.dumps({"messages": [{"role": "user", "content": user},
                                               {"role": "assistant", "content": assistant}]}, ensure_ascii=False))
