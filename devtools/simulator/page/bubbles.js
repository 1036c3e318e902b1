// The look of entries and exchanges. Everything that comes from outside is set as text, never as markup.

import { language, word } from "./words.js";

export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

const COLOURS = ["#3d7bd9", "#b5566b", "#6a8f2b", "#8561c5", "#c2742a", "#2a8f8a"];

export function face(name, platform) {
  const shown = make("span", `face ${platform}`, [...name.trim()].at(0)?.toUpperCase() ?? "?");
  const sum = [...name].reduce((total, character) => total + character.codePointAt(0), 0);
  shown.style.setProperty("--face", COLOURS[sum % COLOURS.length]);
  shown.setAttribute("aria-hidden", "true");
  return shown;
}

export function clockOf(seconds, withDay = false) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (withDay) Object.assign(options, { month: "numeric", day: "numeric" });
  return new Intl.DateTimeFormat(language(), options).format(new Date(seconds * 1000));
}

const LINK = /<a\s+href="([^"]*)"[^>]*>([^<]*)<\/a>|(https?:\/\/[^\s<>"，。；！？、（）]+)/g;

/** Text with links: what the platform itself turns into links, and nothing else. */
function linked(text, onChoice) {
  const parts = document.createDocumentFragment();
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    parts.append(text.slice(end, match.index));
    end = match.index + match[0].length;
    const [whole, href, label, bare] = match;
    parts.append(link(href ?? bare, label ?? bare, onChoice) ?? whole);
  }
  parts.append(text.slice(end));
  return parts;
}

function link(href, label, onChoice) {
  const choice = /^weixin:\/\/bizmsgmenu\?(.*)$/.exec(href);
  if (choice) {
    const query = new URLSearchParams(choice[1].replaceAll("&amp;", "&"));
    return choiceButton(label, query.get("msgmenucontent") ?? label, query.get("msgmenuid") ?? "", onChoice);
  }
  if (!/^https?:\/\//.test(href)) return null;
  const anchor = make("a", "", label);
  Object.assign(anchor, { href: href.replaceAll("&amp;", "&"), target: "_blank", rel: "noopener noreferrer" });
  return anchor;
}

function choiceButton(label, content, id, onChoice) {
  const button = make("button", "choice", label);
  button.type = "button";
  button.addEventListener("click", () => onChoice(content, id));
  return button;
}

function card(entry) {
  const box = make("div", "card", make("h3", "", entry.text));
  const rows = make("dl");
  for (const row of entry.rows) {
    const value = make("dd", "", row.value);
    if (/^#[0-9a-f]{6}$/i.test(row.color)) value.style.color = row.color;
    const line = make("div", row.label ? "" : "bare", ...(row.label ? [make("dt", "", row.label)] : []), value);
    rows.append(line);
  }
  box.append(rows);
  const anchor = entry.url ? link(entry.url, word("details"), () => {}) : null;
  if (anchor) {
    anchor.className = "details";
    box.append(anchor);
  }
  return box;
}

function bubble(entry, onChoice) {
  const box = make("div", "bubble", linked(entry.text, onChoice));
  for (const item of entry.menu ?? []) {
    box.append(make("div", "", choiceButton(item.content, item.content, item.id, onChoice)));
  }
  if (entry.tail) box.append(make("div", "", entry.tail));
  return box;
}

function footnote(entry) {
  const notes = [];
  if (entry.who === "account" && ["passive", "kf", "template"].includes(entry.via)) notes.push(word(entry.via));
  if (entry.via === "kf" && entry.left !== null) notes.push(word("left", entry.left));
  if (entry.mentions?.length) notes.push(entry.mentions.map((name) => `@${name}`).join(" "));
  if (entry.cut) notes.push(word("was_cut"));
  if (entry.via === "webhook" && (entry.verified || entry.problem)) {
    notes.push(entry.verified ? word("verified") : word("unverified", entry.problem));
  }
  return notes.length ? make("small", "note", notes.join(" · ")) : "";
}

/** One entry as an element; null for what is not shown. */
export function shownEntry(entry, chat, onChoice) {
  if (entry.via === "typing") return null;
  if (entry.who === "system") return make("p", "system", entry.text);
  const mine = entry.who === "user";
  if (mine && (entry.via === "menu" || entry.via === "scan")) {
    const what = entry.via === "menu" ? word("menu") : word("scanned");
    return make("p", "system", `${what} · ${entry.text.replace(/^\[扫码\] /, "")}`);
  }
  const body = entry.rows ? card(entry) : bubble(entry, onChoice);
  const picture = mine ? face(chat.name, chat.platform) : face(chat.platform === "wechat" ? "L" : word(chat.platform), "account");
  return make("div", mine ? "line mine" : "line", picture, make("div", "said", body, footnote(entry)));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text.startsWith("<xml>") ? text.replace(/(<\/?xml>)/g, "$1\n").replace(/(<\/\w+>)(?=<)/g, "$1\n") : text;
  }
}

function block(title, text) {
  return text ? [make("h4", "", title), make("pre", "", pretty(text))] : [];
}

/** The subject of a push, in a few words. */
function topic(hop) {
  const found = /<Content><!\[CDATA\[(.*?)\]\]>|<Event><!\[CDATA\[(.*?)\]\]>|^text=(.*)$|"text": "(.*?)"/m.exec(hop.plain);
  return found ? found.slice(1).find((part) => part !== undefined) : "";
}

/** One exchange, closed until the reader opens it. */
export function shownHop(hop) {
  const out = hop.direction === "out";
  const code = /"(?:errcode|code)":\s*(-?[1-9]\d*)/.exec(out ? "" : hop.answer)?.[1] ?? "";
  const refused = code && !["200", "1000"].includes(code);
  const good = hop.status >= 200 && hop.status < 300 && !refused && !hop.note.startsWith("bad");
  const title = out ? [`${word("sent")} ${hop.platform} `, make("span", "what", [topic(hop), hop.attempt > 1 ? word("attempt", hop.attempt) : ""].filter(Boolean).join(" · "))] : [hop.path];
  const head = make(
    "summary", "",
    make("b", out ? "out" : "in", out ? "→" : "←"),
    make("span", "path", ...title),
    make("span", good ? "good" : "bad", refused ? code : hop.status || "✕"),
    make("span", "ms", `${Math.round(hop.ms)} ms`),
  );
  const address = make("p", "address", `${hop.method} ${hop.url}`);
  const note = hop.note ? [make("p", "why", hop.note)] : [];
  const readable = hop.plain && hop.plain !== hop.body ? block(word("plain"), hop.plain) : [];
  const details = make("details", "", head, address, ...note, ...readable, ...block(word("request"), hop.body), ...block(word("answer"), hop.answer));
  return make("li", "", details);
}
