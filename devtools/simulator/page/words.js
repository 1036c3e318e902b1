// The page's words, Chinese first; `data-word` marks a text, `data-hint` a placeholder, `data-label` an accessible name.

const WORDS = {
  banner: ["模拟器", "Simulator"],
  banner_more: ["这不是微信 – not WeChat", "– not WeChat"],
  title: ["模拟器 · 公众号对话", "Simulator · talk to the account"],
  people: ["会话", "Conversations"],
  new_name: ["新用户的名字", "Name of somebody new"],
  platform: ["平台", "Platform"],
  add: ["添加", "Add"],
  nobody: ["添加一位用户，关注公众号，然后发一句 help。", "Add a person, follow the account, then write help."],
  welcome: ["来扮演公众号的用户", "Play the account's user"],
  first: ["添加第一位用户", "Add the first person"],
  first_name: ["小明", "Ming"],
  platform_time: ["平台时间", "Platform time"],
  broken: ["故障", "Faults"],
  none: ["无", "none"],
  settings: ["账号设置", "Account"],
  reset: ["清空重来", "Start over"],
  reset_sure: ["清空所有人和记录？账号设置会保留。", "Forget everybody and all records? The account's settings stay."],
  back: ["返回", "Back"],
  wire: ["报文", "Wire"],
  wire_all: ["全部会话", "all conversations"],
  wire_hint: ["平台与产品之间的每一次往来，点开看原文。", "Each exchange between platform and product; open one to read it."],
  wire_empty: ["还没有往来。", "Nothing yet."],
  sent: ["推送", "pushed"],
  plain: ["明文", "Plain text"],
  request: ["请求", "Request"],
  answer: ["应答", "Answer"],
  attempt: ["第 {} 次", "delivery {}"],
  menu: ["菜单", "Menu"],
  write: ["输入消息", "Message"],
  send: ["发送", "Send"],
  more: ["更多", "More"],
  follow: ["关注公众号", "Follow the account"],
  unfollow: ["取消关注", "Unfollow"],
  room: ["只接收", "listens"],
  read_only: ["群机器人或接收地址，只显示收到的内容", "A robot or an address: it only listens"],
  scan: ["扫一扫", "Scan"],
  scan_hint: ["选一个有效的二维码，或粘贴 ticket 或二维码里的网址。", "Choose a living code, or paste a ticket or the address in the picture."],
  scan_field: ["ticket 或网址", "Ticket or address"],
  scan_as: ["以谁的身份扫码？", "Scan as whom?"],
  no_codes: ["产品还没有生成二维码。", "The product has made no code yet."],
  forever: ["长期", "stays"],
  cancel: ["取消", "Cancel"],
  close: ["关闭", "Close"],
  save: ["保存", "Save"],
  open: ["打开", "Open"],
  callback: ["服务器地址 (URL)", "Callback address"],
  mode: ["加解密方式", "Mode"],
  kind: ["账号类型", "Kind"],
  texts: ["48 小时内客服消息条数", "Messages within 48 hours"],
  handshake: ["验证地址", "Check address"],
  handshake_ok: ["验证通过", "The address answers as it should"],
  handshake_bad: ["验证失败：{}", "It does not: {}"],
  token: ["控制令牌", "Control token"],
  token_hint: ["请打开模拟器启动时打印的网址，或把其中 # 之后的部分粘贴在这里。", "Open the address that the simulator printed, or paste what stands after its #."],
  plus_48: ["+48 小时", "+48 hours"],
  plus_1: ["+1 小时", "+1 hour"],
  offline: ["断网", "Cut off"],
  slow: ["慢回复", "Slow"],
  refuse: ["拒收模板", "Refuse cards"],
  heal: ["恢复正常", "Heal"],
  image: ["发图片", "Picture"],
  typing: ["对方正在输入…", "typing…"],
  left: ["客服余额 {}", "{} messages left"],
  until: ["至 {}", "until {}"],
  no_window: ["无客服窗口", "no open window"],
  not_following: ["未关注", "not following"],
  blocked: ["已屏蔽", "blocked"],
  refusing: ["拒收模板", "refuses cards"],
  details: ["查看详情", "Details"],
  paused: ["推送已暂停", "Pushes are paused"],
  was_cut: ["超长，已被平台截断", "too long: cut by the platform"],
  verified: ["签名有效", "signature holds"],
  unverified: ["签名无效：{}", "signature: {}"],
  lost: ["与模拟器的连接断了，正在重连…", "The simulator is gone; trying again…"],
  wechat: ["公众号", "Official account"],
  wecom: ["企业微信", "WeCom"],
  feishu: ["飞书", "Feishu"],
  dingtalk: ["钉钉", "DingTalk"],
  sink: ["接收地址", "Sink"],
  slack: ["Slack", "Slack"],
  telegram: ["Telegram", "Telegram"],
  passive: ["被动回复", "reply"],
  kf: ["客服消息", "service message"],
  template: ["模板消息", "template"],
  scanned: ["扫码", "scan"],
};

let column = localStorage.getItem("sim-language") === "en" ? 1 : 0;

export const language = () => (column ? "en" : "zh-CN");

export function word(name, value = "") {
  return (WORDS[name]?.[column] ?? name).replace("{}", value);
}

export function switchLanguage() {
  column = 1 - column;
  localStorage.setItem("sim-language", column ? "en" : "zh");
}

export function writeWords() {
  document.documentElement.lang = language();
  document.title = word("title");
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-hint]")) element.placeholder = word(element.dataset.hint);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
    element.title = word(element.dataset.label);
  }
  const button = document.getElementById("language");
  [button.textContent, button.lang] = column ? ["中文", "zh-CN"] : ["English", "en"];
}
