// What a browser makes of a page, told as JSON: node report.mjs PAGE.html PICTURES, in a folder with node_modules.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const imported = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const chromium = await imported("@sparticuz/chromium"), puppeteer = await imported("puppeteer-core");
const [path, pictures] = process.argv.slice(2);

const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(), args: [...chromium.args, "--no-sandbox"], headless: "shell",
});
const page = await browser.newPage(), told = { problems: [], loaded: [], seen: {} };
page.on("console", (each) => told.problems.push(each.text()));
page.on("pageerror", (each) => told.problems.push(each.message));
page.on("request", (each) => told.loaded.push(each.url().startsWith("data:") ? "data" : each.url()));

const protocol = await page.createCDPSession();
const ways = {
  light: [1100, "light", "screen"], dark: [1100, "dark", "screen"], narrow: [420, "light", "screen"],
  print: [700, "dark", "print"],
};
for (const [name, [width, scheme, media]] of Object.entries(ways)) {
  await page.setViewport({ width, height: 900 });
  await protocol.send("Emulation.setEmulatedMedia", {
    media, features: [{ name: "prefers-color-scheme", value: scheme }],
  });
  if (name === "light") await page.goto(pathToFileURL(path).href);
  told.seen[name] = await page.evaluate(() => ({
    paper: getComputedStyle(document.body).backgroundColor,
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    recipe: document.querySelector("details pre").checkVisibility(),
    contents: document.querySelector("nav").getBoundingClientRect().height,
    broken: [...document.images].filter((each) => !each.naturalWidth).length,
  }));
  await page.screenshot({ path: `${pictures}/${name}.png` });
}
told.elements = await page.evaluate(() => [...document.querySelectorAll("*")].map((each) => [
  each.localName,
  Object.fromEntries([...each.attributes].map((one) => [one.name, one.value])),
  [...each.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.data).join("|"),
]));
await browser.close();
process.stdout.write(JSON.stringify(told));
