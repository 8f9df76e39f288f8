// node look_at_report.mjs REPORT.html OUT_FOLDER CHROMIUM
// Opens the report from disk with no network, uses it as a reader would, and takes a picture after each step.
// Prints JSON: errors of the console and the page, requests that left the page, and the dancer's time at each picture.
import { chromium } from "playwright-core";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [report, out, executablePath] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true, args: flags, offline: true, viewport: { width: 760, height: 800 },
});
const seen = { errors: [], outside: [], times: {} };
const page = context.pages()[0] ?? await context.newPage();
page.on("console", (line) => { if (line.type() === "error") seen.errors.push(line.text()); });
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("request", (request) => { if (!/^(file|data|blob):/.test(request.url())) seen.outside.push(request.url()); });

const state = () => page.evaluate(() => ({ ...document.documentElement.dataset }));
const drawn = () => page.waitForFunction(() => new Promise((done) => // what was asked for is on the screen
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => done(document.documentElement.dataset.drawn))))));
const picture = async (name) => {
  await drawn();
  seen.times[name] = Number((await state()).time);
  await page.locator("#view").screenshot({ path: join(out, `${name}.png`) });
};

await page.goto(pathToFileURL(report).href);
await page.waitForFunction(() => document.documentElement.dataset.ready || document.documentElement.dataset.failed, null, { timeout: 60000 });
seen.failed = (await state()).failed ?? null;
if (!seen.failed) {
  await picture("start");
  await page.click("#play");
  await page.evaluate(() => new Promise((done) => { // pauses in the very frame, however slow the machine
    const watch = () => {
      if (Number(document.documentElement.dataset.time) < 0.3) return requestAnimationFrame(watch);
      document.getElementById("play").click();
      return done();
    };
    watch();
  }));
  await picture("played");
  for (const look of ["clay", "normals", "observed"]) {
    await page.click(`[data-look=${look}]`);
    await picture(look);
  }
  await page.click("[data-look=textured]");
  await page.locator("#scrub").fill("500");
  await picture("scrubbed");
  const box = await page.locator("#view").boundingBox();
  await page.mouse.move(box.x + 200, box.y + 300);
  await page.mouse.down();
  await page.mouse.move(box.x + 420, box.y + 320, { steps: 4 });
  await page.mouse.up();
  await picture("orbited");
  await page.click("#eye");
  await picture("clip");
  await page.screenshot({ path: join(out, "page.png"), fullPage: true });
}
console.log(JSON.stringify(seen));
await context.close();
