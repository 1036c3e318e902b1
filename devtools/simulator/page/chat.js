// The page's life: the people, the open conversation, acts of the person, events of the server.

import { face, clockOf, make, shownEntry, shownHop } from "./bubbles.js";
import { act, call, entriesOf, listen, Refused, takeToken } from "./sim.js";
import { switchLanguage, word, writeWords } from "./words.js";

const HOPS_SHOWN = 200;
const HEARD_KEPT = 50;
const GAP_SECONDS = 300;
const $ = (id) => document.getElementById(id);

let state = { chats: [], menu: [], codes: [], faults: [], now: Date.now() / 1000 };
let open = localStorage.getItem("sim-chat") ?? "";
let lastAt = 0;
let lastSeq = 0;
let hops = [];
let heard = [];
let menuShown = false;
const unread = new Map();
const typing = new Map();

const current = () => state.chats.find((chat) => chat.id === open);

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) $("token-dialog").showModal();
    else toast(error.message);
    return null;
  }
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => ($("toast").hidden = true), 4000);
}

// The people and groups.

async function refresh() {
  const found = await attempt(() => call("GET", "state"));
  if (!found) return;
  state = found;
  state.skew = found.now - Date.now() / 1000;
  if (!current() && state.chats.length) await show(state.chats[0].id);
  drawAll();
}

function refreshSoon() {
  clearTimeout(refreshSoon.timer);
  refreshSoon.timer = setTimeout(refresh, 60);
}

function drawAll() {
  drawPeople();
  drawHead();
  drawBottom();
  const faults = state.faults.filter((fault) => fault.times === null || fault.used < fault.times);
  $("broken").textContent = faults.map((fault) => fault.action).join(", ") || word("none");
  $("broken").classList.toggle("bad", faults.length > 0);
  drawNow();
}

function drawNow() {
  if (state.skew !== undefined) $("now").textContent = clockOf(Date.now() / 1000 + state.skew, true);
}

function drawPeople() {
  const items = state.chats.map((chat) => {
    const count = unread.get(chat.id) ?? 0;
    const button = make(
      "button", "person",
      face(chat.name, chat.platform),
      make("span", "name", chat.name),
      make("span", "where", chat.kind === "room" ? `${word(chat.platform)} · ${word("room")}` : word(chat.platform)),
      ...(count ? [make("b", "count", String(count))] : []),
    );
    button.type = "button";
    button.setAttribute("aria-current", String(chat.id === open));
    button.addEventListener("click", () => show(chat.id));
    return make("li", "", button);
  });
  $("people").replaceChildren(...(items.length ? items : [make("li", "hint", word("nobody"))]));
  const waiting = [...unread.values()].reduce((total, count) => total + count, 0);
  $("unread").textContent = waiting;
  $("unread").hidden = waiting === 0;
}

function drawHead() {
  const chat = current();
  const isTyping = chat && (typing.get(chat.id) ?? 0) > Date.now();
  $("chat-title").textContent = chat ? (isTyping ? word("typing") : chat.kind === "room" ? `${word(chat.platform)} · ${chat.name}` : chat.platform === "wechat" ? "LetServer" : word(chat.platform)) : "–";
  const badges = [];
  const badge = (text, kind = "") => badges.push(make("span", `badge ${kind}`, text));
  if (chat?.kind === "user") badge(chat.name, "name");
  if (chat?.platform === "wechat") {
    if (!chat.followed) badge(word("not_following"), "off");
    else if (chat.until === null) badge(word("no_window"), "off");
    else {
      badge(word("left", chat.left), chat.left ? "" : "off");
      badge(word("until", clockOf(chat.until, true)));
    }
    if (chat.refuses) badge(word("refusing"), "off");
  }
  if (chat?.blocked) badge(word("blocked"), "off");
  $("badges").replaceChildren(...badges);
}

function drawBottom() {
  const chat = current();
  $("welcome").hidden = state.seq === undefined || state.chats.length > 0;
  $("log").hidden = !$("welcome").hidden;
  const room = chat?.kind === "room";
  const stranger = chat?.platform === "wechat" && chat.kind === "user" && !chat.followed;
  const hasMenu = chat?.platform === "wechat" && state.menu.length > 0 && !stranger;
  $("read-only").hidden = !room;
  $("read-only").textContent = word("read_only");
  $("follow").hidden = !stranger;
  $("to-menu").hidden = !hasMenu;
  menuShown = menuShown && hasMenu;
  $("menu-bar").hidden = !menuShown;
  $("say").hidden = !chat || room || stranger;
  $("line").hidden = menuShown;
  $("send").hidden = menuShown || !$("line").value.trim();
  $("more").hidden = menuShown || !$("send").hidden;
  if (hasMenu) drawMenu(chat);
  drawTiles(chat, room);
}

function drawMenu(chat) {
  const press = (button) => {
    closeMenus();
    if (button.type === "view") {
      window.open(button.url, "_blank", "noopener");
      attempt(() => act(chat.id, "menu", { key: button.url, event: "VIEW", wait: false }));
    } else attempt(() => act(chat.id, "menu", { key: button.key, wait: false }));
  };
  const items = state.menu.map((button) => {
    const below = button.sub_button ?? [];
    const top = make("button", "", below.length ? `≡ ${button.name}` : button.name);
    top.type = "button";
    const list = make("div", "below", ...below.map((inner) => {
      const item = make("button", "", inner.name);
      item.type = "button";
      item.addEventListener("click", () => press(inner));
      return item;
    }));
    list.hidden = true;
    top.addEventListener("click", () => {
      const wasHidden = list.hidden;
      closeMenus();
      if (below.length) list.hidden = !wasHidden;
      else press(button);
    });
    return make("div", "top", top, list);
  });
  $("menu-bar").replaceChildren(...items);
}

const closeMenus = () => document.querySelectorAll(".below").forEach((list) => (list.hidden = true));

const ICONS = {
  scan: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M4 12h16",
  follow: "M12 8a3.5 3.5 0 1 0 0-.01M5 20c0-4 3-6 7-6s7 2 7 6M19 5v6M16 8h6",
  unfollow: "M12 8a3.5 3.5 0 1 0 0-.01M5 20c0-4 3-6 7-6s7 2 7 6M16 8h6",
  plus_48: "M12 3a9 9 0 1 0 .01 0M12 7v5l4 2",
  plus_1: "M12 3a9 9 0 1 0 .01 0M12 7v5h4",
  offline: "M3 9c5-5 13-5 18 0M6.500 12.500c3-3 8-3 11 0M10 16c1-1 3-1 4 0M4 3l16 18",
  slow: "M6 3h12M6 21h12M8 3c0 5 8 5 8 9s-8 4-8 9M16 3c0 5-8 5-8 9s8 4 8 9",
  refuse: "M12 3a9 9 0 1 0 .01 0M6 6l12 12",
  heal: "M5 13l4 4L19 7",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15 9h.01",
};

const FAULTS = {
  offline: [["/cgi-bin/*", "drop_connection"], ["/bot*", "drop_connection"]],
  slow: [["/cgi-bin/message/*", "delay_ms:4000"], ["/bot*", "delay_ms:4000"]],
};
const isOn = (name) => FAULTS[name].every(([path, action]) => state.faults.some((fault) => fault.match.path === path && fault.action === action && fault.times === null));

function drawTiles(chat, room) {
  const wechat = chat?.platform === "wechat" && chat.kind === "user";
  const tiles = [
    ...(wechat ? [["scan", () => openScan(chat)], chat.followed ? ["unfollow", () => act(chat.id, "unfollow")] : null] : []),
    ...(wechat ? [["refuse", () => act(chat.id, "refuse_template", { on: !chat.refuses }), Boolean(chat.refuses)]] : []),
    ...(wechat && chat.followed ? [["image", () => act(chat.id, "message", { type: "image", wait: false })]] : []),
    ["plus_1", () => call("POST", "clock", { advance_s: 3600 })],
    ["plus_48", () => call("POST", "clock", { advance_s: 48 * 3600 })],
    ["offline", () => toggle("offline"), isOn("offline")],
    ["slow", () => toggle("slow"), isOn("slow")],
    state.faults.length ? ["heal", () => call("DELETE", "faults")] : null,
  ].filter(Boolean);
  $("tiles").replaceChildren(...(room ? [] : tiles).map(([name, press, on]) => {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    icon.append(path);
    const button = make("button", "tile", icon, make("span", "", word(name)));
    button.type = "button";
    button.dataset.tile = name;
    if (on !== undefined) button.setAttribute("aria-pressed", String(on));
    button.addEventListener("click", () => attempt(press));
    return button;
  }));
}

async function toggle(name) {
  if (isOn(name)) return call("DELETE", "faults");
  for (const [path, action] of FAULTS[name]) await call("POST", "faults", { match: { path }, action, times: null });
}

// The conversation.

async function show(id) {
  open = id;
  localStorage.setItem("sim-chat", id);
  unread.delete(id);
  document.body.dataset.view = "chat";
  const chat = current();
  $("tiles").hidden = true;
  $("more").setAttribute("aria-expanded", "false");
  if (!chat) return;
  drawAll();
  const entries = (await attempt(() => entriesOf(chat))) ?? [];
  if (open !== id) return;
  $("log").replaceChildren();
  lastAt = lastSeq = 0;
  // The transcript lacks events that arrived after it was made; an event in both is shown once.
  for (const entry of [...entries, ...heard.filter((entry) => entry.chat === id)]) append(entry, chat);
  drawHops();
  toEnd();
}

function append(entry, chat) {
  if (entry.seq <= lastSeq) return;
  lastSeq = entry.seq;
  const shown = shownEntry(entry, chat, (content, id) => attempt(() => act(chat.id, "text", { content, menu_id: id, wait: false })));
  if (!shown) return;
  if (entry.at - lastAt > GAP_SECONDS) $("log").append(make("p", "time", clockOf(entry.at, true)));
  lastAt = entry.at;
  $("log").append(shown);
}

const toEnd = () => $("log").scrollTo({ top: $("log").scrollHeight });

function heardEntry(entry) {
  heard = [...heard.slice(-HEARD_KEPT), entry];
  if (entry.via === "typing") {
    typing.set(entry.chat, entry.until ? Date.now() + Math.max(0, entry.until - Date.now() / 1000 - (state.skew ?? 0)) * 1000 : 0);
    setTimeout(drawHead, 15100);
  } else if (entry.who === "account") typing.delete(entry.chat);
  const chat = current();
  if (chat && entry.chat === chat.id) {
    append(entry, chat);
    toEnd();
  } else if (entry.via !== "typing") unread.set(entry.chat, (unread.get(entry.chat) ?? 0) + 1);
  refreshSoon();
}

// The wire.

function drawHops() {
  const wanted = $("wire-all").checked ? hops : hops.filter((hop) => !hop.chat || hop.chat === open);
  const items = wanted.slice(-HOPS_SHOWN).reverse().map(shownHop);
  $("hops").replaceChildren(...(items.length ? items : [make("li", "hint", word("wire_empty"))]));
}

function heardHop(hop) {
  hops = [...hops.slice(1 - HOPS_SHOWN), hop];
  if (!$("wire-all").checked && hop.chat && hop.chat !== open) return;
  $("hops").querySelector(".hint")?.remove();
  $("hops").prepend(shownHop(hop));
  if ($("hops").children.length > HOPS_SHOWN) $("hops").lastElementChild.remove();
}

async function loadHops() {
  const found = await attempt(() => call("GET", "calls"));
  hops = (found?.calls ?? []).slice(-HOPS_SHOWN);
  drawHops();
}

// Dialogs.

function openScan(chat) {
  const codes = state.codes.slice(0, 6).map((code) => {
    const picture = make("img");
    Object.assign(picture, { src: `/cgi-bin/showqrcode?ticket=${encodeURIComponent(code.ticket)}`, alt: "" });
    const button = make("button", "code", picture, make("span", "scene", code.scene), make("span", "where", code.until ? word("until", clockOf(code.until)) : word("forever")));
    button.type = "button";
    button.addEventListener("click", () => scan(chat.id, code.ticket));
    return make("li", "", button);
  });
  $("codes").replaceChildren(...(codes.length ? codes : [make("li", "hint", word("no_codes"))]));
  $("ticket").value = "";
  $("scan-dialog").onclose = () => {
    if ($("scan-dialog").returnValue === "ok" && $("ticket").value.trim()) scan(chat.id, $("ticket").value.trim());
  };
  $("scan-dialog").returnValue = "";
  $("scan-dialog").showModal();
}

function scan(openid, ticket) {
  $("scan-dialog").close("done");
  $("who-dialog").close("done");
  return attempt(() => act(openid, "scan", { ticket, wait: false }));
}

/** A QR code's own address was opened: who holds the phone? */
function askWho() {
  if (!location.pathname.startsWith("/q/")) return;
  const ticket = location.href;
  const people = state.chats.filter((chat) => chat.platform === "wechat" && chat.kind === "user");
  const items = people.map((chat) => {
    const button = make("button", "person", face(chat.name, chat.platform), make("span", "name", chat.name), make("span", "where", word(chat.platform)));
    button.type = "button";
    button.addEventListener("click", async () => {
      await scan(chat.id, ticket);
      history.replaceState(null, "", "/chat");
      await show(chat.id);
    });
    return make("li", "", button);
  });
  $("scan-people").replaceChildren(...(items.length ? items : [make("li", "hint", word("nobody"))]));
  $("who-dialog").showModal();
}

async function openSettings() {
  const account = await attempt(() => call("GET", "account"));
  if (!account) return;
  $("callback").value = account.callback_url;
  $("mode").value = account.mode;
  $("kind").value = account.kind;
  $("texts").value = account.kf_rules.text[0];
  $("handshake-result").textContent = "";
  $("settings-dialog").returnValue = "";
  $("settings-dialog").showModal();
}

const saveSettings = () =>
  call("PUT", "account", {
    callback_url: $("callback").value.trim(),
    mode: $("mode").value,
    kind: $("kind").value,
    kf_rules: { text: Number($("texts").value) },
  });

// Wiring.

function say() {
  const content = $("line").value.trim();
  const chat = current();
  if (!content || !chat) return;
  $("line").value = "";
  fit();
  drawBottom();
  attempt(() => act(chat.id, "text", { content, wait: false }));
}

async function addPerson(nickname, platform) {
  const added = await attempt(() => call("POST", "users", { nickname, platform }));
  if (!added) return;
  $("add-name").value = "";
  await refresh();
  await show(added.openid);
}

function fit() {
  $("line").style.height = "auto";
  $("line").style.height = `${Math.min($("line").scrollHeight, 120)}px`;
}

function wireUp() {
  $("say").addEventListener("submit", (event) => { event.preventDefault(); say(); });
  $("line").addEventListener("input", () => { fit(); drawBottom(); });
  $("line").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); say(); }
  });
  $("more").addEventListener("click", () => {
    $("tiles").hidden = !$("tiles").hidden;
    $("more").setAttribute("aria-expanded", String(!$("tiles").hidden));
    toEnd();
  });
  $("to-menu").addEventListener("click", () => { menuShown = !menuShown; $("tiles").hidden = true; drawBottom(); });
  $("follow").addEventListener("click", () => attempt(() => act(open, "follow", { wait: false })));
  $("first").addEventListener("click", () => addPerson(word("first_name"), "wechat"));
  $("add").addEventListener("submit", (event) => {
    event.preventDefault();
    addPerson($("add-name").value.trim(), $("add-platform").value);
  });
  $("wire-all").addEventListener("change", drawHops);
  $("open-settings").addEventListener("click", openSettings);
  $("settings-dialog").addEventListener("close", () => {
    if ($("settings-dialog").returnValue === "save") attempt(saveSettings);
  });
  $("handshake").addEventListener("click", async () => {
    const result = await attempt(async () => { await saveSettings(); return call("POST", "handshake", {}); });
    if (result) $("handshake-result").textContent = result.ok ? word("handshake_ok") : word("handshake_bad", result.problem);
  });
  $("reset").addEventListener("click", () => {
    if (confirm(word("reset_sure"))) attempt(() => call("POST", "reset", { keep_accounts: true }));
  });
  $("token-dialog").addEventListener("close", () => { takeToken($("token").value); location.reload(); });
  $("language").addEventListener("click", async () => { switchLanguage(); speak(); drawAll(); drawHops(); await show(open); });
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => { document.body.dataset.view = button.dataset.go; toEnd(); });
  }
}

function speak() {
  writeWords();
  const doors = ["wechat", "wecom", "telegram", "slack"].map((name) => new Option(word(name), name));
  $("add-platform").replaceChildren(...doors);
}

async function loadAll() {
  await refresh();
  if (open) await show(open);
  await loadHops();
  askWho();
}

async function stay() {
  for (;;) {
    try {
      await listen(loadAll, (kind, value) => {
        if (kind === "entry") heardEntry(value);
        else if (kind === "hop") heardHop(value);
        else if (kind === "reset") location.reload();
        else refreshSoon();
      });
    } catch (error) {
      if (error instanceof Refused) return $("token-dialog").showModal();
    }
    toast(word("lost"));
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

takeToken();
speak();
wireUp();
setInterval(drawNow, 10000);
stay();
