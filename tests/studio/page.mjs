// What the page does in a browser, told as JSON: node page.mjs ADDRESS PICTURE.png, in a folder with node_modules.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const imported = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const chromium = await imported("@sparticuz/chromium"), puppeteer = await imported("puppeteer-core");
const [address, picture] = process.argv.slice(2);

const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(), args: [...chromium.args, "--no-sandbox"], headless: "shell",
});
const page = await browser.newPage(), told = { problems: [], hosts: [], asked: [] };
page.on("console", (each) => told.problems.push(each.text()));
page.on("pageerror", (each) => told.problems.push(each.message));
page.on("request", (each) => {
  told.hosts.push(new URL(each.url()).host);
  if (each.method() === "POST") told.asked.push([each.url().split("/").pop(), JSON.parse(each.postData())]);
});
await page.setViewport({ width: 1200, height: 900 });
await page.goto(address);
await page.waitForFunction(() => document.querySelector("#model").textContent !== "");

const text = (id) => page.$eval(id, (each) => each.textContent);
const drawn = () => page.waitForFunction(() => {
  return document.querySelector("#status").textContent.startsWith("Drawn") && document.querySelector("#step").value === document.querySelector("#step").max;
}, { timeout: 120000 });
const box = async (id) => (await page.$(id)).boundingBox();
const at = ({ x, y, width, height }, right, down) => [x + right * width, y + down * height];

await page.$eval("#pace", (each) => { each.value = 0; each.dispatchEvent(new Event("input")); });
const paper = await box("#paper");
await page.mouse.move(...at(paper, 0.1, 0.1));
await page.mouse.down();
await page.mouse.move(...at(paper, 0.9, 0.1), { steps: 5 });
await page.mouse.up();
await drawn();
[told.given, told.numbers] = [await text("#given-text"), await text("#numbers")];
await page.mouse.move(...at(await box("#picture"), 0.9, 0.9));
await page.waitForFunction(() => document.querySelector("#pixel").textContent.startsWith("Row"));
told.pixel = await text("#pixel");
await page.screenshot({ path: picture });
await page.click("#undo");
told.undone = await text("#given-text");
await page.focus("#paper");
for (const key of ["ArrowUp", " "]) await page.keyboard.press(key);
await drawn();
told.painted = await text("#given-text");
await page.click("#clear");
told.cleared = await text("#given-text");
await browser.close();
process.stdout.write(JSON.stringify(told));
