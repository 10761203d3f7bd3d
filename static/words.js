// The page's words in two languages, and numbers, times and states as people say them. The English text is its own key.
import { remembered } from "./dom.js";

const ZH = {
  "code": "代码", "Copy": "复制", "Copied": "已复制", "Remove {name}": "移除 {name}", "{name} is not a picture": "{name} 不是图片",
  "At most {n} files of 20 MB": "最多 {n} 个文件，每个不超过 20 MB", "star removed": "星标已去除", "no star found": "未发现星标", "star kept": "星标保留",
  "Before and after": "前后对比", "before": "之前", "after": "之后", "upscaled here": "由网关放大", "native": "原生尺寸", "Download": "下载", "Change it": "修改它",
  "as the model likes": "由模型决定", "A red fox in the snow, morning light": "雪中的红狐，晨光", "Generate": "生成", "Stop": "停止",
  "Pictures take a while…": "图片需要一点时间……", "{time} in all": "共 {time}", "stopped": "已停止", "What to make, or what to change": "要画什么，或要改什么",
  "Show more": "显示更多", "Other settings hold now.": "新的设置已生效。", "No account can serve a call now.": "目前没有账号可以服务。", "and {n} more": "以及另外 {n} 个",
  "This page shows worker {number} of {of}: requests, log and keys' use are those that it served. /metrics has all of them together.": "本页显示 {of} 个进程中的第 {number} 个：请求、日志和密钥用量只含它所处理的部分。/metrics 含全部进程之和。",
  "Model": "模型", "Size": "尺寸", "How many": "数量", "Drop or paste reference pictures here to change them.": "把参考图拖到或粘贴到这里即可修改。",
  "Reference pictures": "参考图", "Show as code": "显示代码", "Thoughts": "思考过程", "Answer": "回答", "first word after {time}": "首字 {time}",
  "{in} tokens in, {out} out": "输入 {in} 个词元，输出 {out} 个", "You": "你", "Conversation": "对话", "off": "关", "low": "低", "medium": "中", "high": "高",
  "How the model should behave": "希望模型怎样表现", "Ask something. Enter sends, Shift+Enter makes a new line.": "输入问题。回车发送，Shift+回车换行。",
  "Message": "消息", "Send": "发送", "Each message goes through the whole gateway, like that of any client, in your name.": "每条消息都像任何客户端的请求一样经过整个网关，以你的身份发出。",
  "Attach files": "添加附件", "Thinking": "思考", "New chat": "新对话", "Instructions": "指令", "System instruction": "系统指令", "Overview": "概览", "Accounts": "账号",
  "Playground": "试用", "API keys": "API 密钥", "Plugins and settings": "插件与设置", "Logs": "日志", "Theme: as the system": "主题：跟随系统", "Theme: light": "主题：浅色",
  "Theme: dark": "主题：深色", "To the content": "跳到内容", "Views": "页面", "API reference": "API 文档", "Sign out": "退出登录",
  "This could not be loaded:": "无法加载：", "Sign in": "登录", "Admin key": "管理密钥",
  "It stands in gateway.toml under [admin], or the console showed it at the first start. The console also shows a link that opens this page once without it.": "它在 gateway.toml 的 [admin] 中，或在首次启动时由控制台显示。控制台还会显示一个链接，可不用密钥打开本页一次。",
  "The gateway does not answer.": "网关没有响应。", "That is not the admin key.": "管理密钥不正确。", "Too many attempts. Wait a minute.": "尝试次数过多，请稍等一分钟。",
  "The session is over: sign in again.": "会话已结束，请重新登录。", "The same call elsewhere": "在别处发出同样的请求",
  "Put an API key into the environment variable GATEWAY_API_KEY first.": "请先把 API 密钥放进环境变量 GATEWAY_API_KEY。", "default": "默认", "set at start": "启动时设定",
  "Setting": "设置项", "Value": "值", "From": "来源", "What it is": "说明", "with the answer inside": "含整个回答", "dormant: needs settings": "休眠：需要设置", "{n} errors": "{n} 个错误",
  "Hook": "钩子", "Calls": "调用", "Time each": "每次耗时", "Time in all": "总耗时", "Errors": "错误", "It has no settings.": "没有设置项。",
  "{n} calls of its hooks, {time}": "钩子调用 {n} 次，{time}", "Filter settings": "筛选设置", "Plugins, outermost first": "插件，最外层在前", "Settings in force": "生效的设置",
  "only what is not the default": "只看非默认值", "5-hour window": "5 小时窗口", "Weekly window": "每周窗口",
  "Taken are: a Cookie header, a cURL command, a cookies.txt, a browser extension's JSON, lines of .env, or the bare values.": "可接受：Cookie 请求头、cURL 命令、cookies.txt、浏览器扩展导出的 JSON、.env 的几行，或直接粘贴值。",
  "Replace the cookies": "更换 Cookie", "Add them all": "全部添加", "Add the account": "添加账号", "Signing in with these cookies…": "正在用这些 Cookie 登录……", "{name} has new cookies": "{name} 已换上新 Cookie",
  "{name} was added": "已添加 {name}", "Cookies of gemini.google.com": "gemini.google.com 的 Cookie", "A JSON list: one object for each account.": "JSON 列表：每个账号一个对象。",
  "Name (optional)": "名称（可选）", "Proxy (optional)": "代理（可选）", "Cancel": "取消", "Delete {name}?": "删除 {name}？",
  "Its cookies are forgotten. Calls that run on it end first.": "它的 Cookie 会被清除；正在进行的请求会先完成。", "Delete": "删除", "{name} was deleted": "已删除 {name}", "resets in {time}": "{time}后重置",
  "In flight": "进行中", "{n}, {failed} failed": "{n} 次，失败 {failed} 次", "Last success": "上次成功", "Egress": "出口", "Cookies brought": "Cookie 录入", "Cookies renewed": "Cookie 更新",
  "New cookies needed": "需要新 Cookie", "in about {time}": "约 {time}后", "now": "现在", "Serves again": "恢复服务", "in {time}": "{time}后", "again in {time}": "{time}后恢复", "{n} models": "{n} 个模型",
  "Test": "测试", "{name} is signed in": "{name} 已登录", "Rotate": "轮换", "Done": "完成", "Cookies": "Cookie", "New cookies for {name}": "{name} 的新 Cookie", "Resume": "恢复", "Pause": "暂停",
  "{name} serves again": "{name} 已恢复服务", "{name} is paused": "{name} 已暂停", "Delete {name}": "删除 {name}", "No account yet": "还没有账号",
  "Sign in at gemini.google.com in a private window, copy its cookies, paste them here, close the window without signing out.": "在隐私窗口中登录 gemini.google.com，复制 Cookie 粘贴到这里，然后不要退出登录，直接关闭窗口。",
  "Filter by name, state or tier": "按名称、状态或等级筛选", "Filter": "筛选", "{n} accounts": "{n} 个账号", "Paste several": "批量粘贴", "Add several accounts": "添加多个账号", "Add an account": "添加账号",
  "Requests": "请求", "Time to first byte": "首字节时间", "Tokens": "词元", "in the last hour": "最近一小时", "{n} in the last minute": "最近一分钟 {n} 个", "requests": "请求",
  "of {n}: {share} %": "共 {n} 个：{share} %", "refusals and callers who left count too": "含拒绝和中途离开的请求", "none": "无", "errors": "错误", "in the median": "中位数",
  "line: median, thin line: 95 of 100": "粗线：中位数，细线：95 分位", "median": "中位数", "95 of 100": "95 分位", "{in} in, {out} out (estimated)": "输入 {in}，输出 {out}（估计）", "in": "输入", "out": "输出",
  "Queue": "排队", "Up for": "已运行", "Version": "版本", "Ready to serve": "可以服务", "Not serving": "无法服务", "{ready} of {all} accounts are ready": "{all} 个账号中 {ready} 个就绪",
  "No account yet.": "还没有账号。", "Add the first one": "添加第一个", "Copy the request id": "复制请求编号", "Answers are SIMULATED by an offline site: nothing here comes from Google.": "回答由离线站点模拟：这里没有任何内容来自 Google。",
  "The connection is lost; trying again.": "连接已断开，正在重试。", "Recent errors": "最近的错误", "Point a client here": "客户端地址", "Plugins": "插件", "None since the start.": "启动以来没有。",
  "Chat": "对话", "Pictures": "图片", "a minute": "每分钟", "an hour": "每小时", "a day": "每天", "all": "全部", "no limit": "不限", "Name": "名称", "Stands in logs and metrics.": "显示在日志和指标中。",
  "Models": "模型", "Names with commas between; empty for all.": "名称用逗号分隔；留空表示全部。", "Calls {span}": "{span}次数", "Save": "保存", "Make the key": "创建密钥", "The key {name}": "密钥 {name}",
  "Copy it now: only its hash is kept, it is not shown again.": "请立即复制：只保存其哈希，之后不再显示。", "I have it": "已保存好", "Limits": "限额", "Last used": "上次使用", "Limits of {name}": "{name} 的限额", "Saved": "已保存",
  "Revoke {name}?": "吊销 {name}？", "Whoever uses this key is refused from now on, everywhere within two seconds.": "此后使用该密钥的请求都会被拒绝，两秒内全部生效。", "Revoke": "吊销", "{name} is revoked": "已吊销 {name}",
  "in gateway.toml": "在 gateway.toml 中", ", {n} errors": "，{n} 个错误", "No key yet: on this machine everybody may call. With the first key, calls need one.": "还没有密钥：本机上人人可用。有了第一个密钥后，请求必须带密钥。",
  "A new key": "新建密钥", "Counted since the start, in this process; limits count everywhere.": "计数自启动以来、仅本进程；限额在所有副本间共享。", "every outcome": "全部结果", "went well": "成功", "went wrong": "失败",
  "the caller's fault (4xx)": "调用方错误（4xx）", "ours or Google's (5xx)": "网关或 Google 错误（5xx）", "the caller left": "调用方离开", "Address": "地址", "Wire format": "协议", "Model asked": "请求的模型",
  "Model that answered": "回答的模型", "Account": "账号", "Attempts": "尝试次数", "First word": "首字", "{in} in, {out} out": "输入 {in}，输出 {out}", "Error": "错误", "Reason": "原因", "No request yet.": "还没有请求。",
  "Outcome": "结果", "every model": "全部模型", "Key": "密钥", "every key": "全部密钥", "Request id, account, reason…": "请求编号、账号、原因……", "{shown} of {all} requests": "{all} 个请求中的 {shown} 个", "Go on": "继续",
  "Close": "关闭", "just now": "刚刚", "{time} ago": "{time}前",
  "ready": "就绪", "cooling down": "冷却中", "cookies expired": "Cookie 已过期", "refused by Google": "被 Google 拒绝", "signing in": "正在登录", "cannot reach Google": "无法连接 Google", "paused": "已暂停",
  "A field of the request is wrong": "请求字段有误", "The conversation is too long": "对话过长", "No key, or a wrong one": "没有密钥或密钥不对", "This key may not do that": "该密钥无此权限", "No such model": "没有该模型",
  "Nothing at this address": "地址不存在", "Our own limit": "网关自身限额", "The model refused": "模型拒绝回答", "Usage limit of the account": "账号用量已满", "The account's cookies are dead": "账号 Cookie 失效",
  "Google refuses the account": "Google 拒绝该账号", "Google blocks our address": "Google 封锁了出口地址", "Google failed": "Google 出错", "Google was too slow": "Google 响应超时", "Google answered something new": "Google 的回答无法识别",
  "No account could serve it": "没有可用账号", "Too many calls wait": "排队过多", "The gateway was stopping": "网关正在停止", "The web cannot do this": "网页版不支持", "A plugin failed": "插件出错", "An error of the gateway": "网关内部错误",
  "The caller left": "调用方离开", "No picture came": "没有得到图片", "The earlier response is not kept": "先前的回答已不保存", "The request was too large": "请求过大", "The request came too slowly": "请求发送过慢",
};

let current = remembered.get("language", (navigator.language ?? "en").toLowerCase().startsWith("zh") ? "zh" : "en");

/** "en" or "zh". */
export const language = () => current;
/** Speak another language, from now on and next time. */
export const setLanguage = (next) => { current = next; remembered.set("language", next); };

/** `text` in the reader's language, with {names} filled in. */
export const t = (text, values = {}) => ((current === "zh" && ZH[text]) || text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

const locale = () => (current === "zh" ? "zh-CN" : "en");
// Making a formatter takes longer than a hundred uses of it.
const made = (make) => {
  const kept = {};
  return () => (kept[locale()] ??= make(locale()));
};
const numbers = made((name) => new Intl.NumberFormat(name));
const clocks = made((name) => new Intl.DateTimeFormat(name, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }));
/** 12345 -> 12,345. */
export const number = (value) => numbers().format(value);
/** Seconds of waiting. */
export const seconds = (value) => duration(value);
/** A short time in the unit that fits: 12 ms, 1.24 s. */
export const duration = (value) => value < 0.001 ? (value ? `${Math.max(1, Math.round(value * 1e6))} µs` : "0 s") : value < 1 ? `${Math.round(value * 1000)} ms` : value < 60 ? `${value.toFixed(value < 10 ? 2 : 1)} s` : span(value);
/** 12.4 MB. */
export const bytes = (value) => value < 1000 ? `${value} B` : value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : `${(value / 1e6).toFixed(1)} MB`;
/** A long time in its largest units: 3 d 4 h. */
export const span = (value) => {
  const left = Math.max(0, Math.round(value));
  const units = current === "zh" ? ["天", "小时", "分", "秒"] : ["d", "h", "min", "s"];
  const parts = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60, left % 60];
  const first = parts.findIndex((part) => part > 0);
  if (first < 0) return `0 ${units[3]}`;
  return parts.map((part, i) => `${part} ${units[i]}`).slice(first, first + 2).filter((text) => !text.startsWith("0 ")).join(" ");
};
/** How long ago, for seconds since 1970. */
export const ago = (at) => { const past = Date.now() / 1000 - at; return past < 5 ? t("just now") : t("{time} ago", { time: past < 120 ? span(past) : span(past - (past % 60)) }); };
/** The time of day, for seconds since 1970. */
export const clock = (at) => clocks().format(at * 1000);

/** An account's state in words. */
export const stateWord = (state) => ({ ready: t("ready"), cooling: t("cooling down"), expired: t("cookies expired"), rejected: t("refused by Google"), starting: t("signing in"), unreachable: t("cannot reach Google"), disabled: t("paused") }[state] ?? state);
const ERRORS = () => ({
  InvalidRequest: t("A field of the request is wrong"), ContextTooLong: t("The conversation is too long"), Unauthenticated: t("No key, or a wrong one"), Forbidden: t("This key may not do that"),
  UnknownModel: t("No such model"), NotFound: t("Nothing at this address"), RateLimited: t("Our own limit"), ContentRefused: t("The model refused"), AccountExhausted: t("Usage limit of the account"),
  AccountExpired: t("The account's cookies are dead"), AccountRejected: t("Google refuses the account"), EgressBlocked: t("Google blocks our address"), UpstreamUnavailable: t("Google failed"),
  UpstreamTimeout: t("Google was too slow"), UpstreamChanged: t("Google answered something new"), NoAccount: t("No account could serve it"), Overloaded: t("Too many calls wait"), Stopping: t("The gateway was stopping"),
  NotSupported: t("The web cannot do this"), PluginFailed: t("A plugin failed"), Internal: t("An error of the gateway"), ClientLeft: t("The caller left"), NoPicture: t("No picture came"), PreviousNotFound: t("The earlier response is not kept"), BodyTooLarge: t("The request was too large"), RequestTimeout: t("The request came too slowly"),
});
/** An error's class in words. */
export const errorWord = (error) => ERRORS()[error] ?? error;
