// Jobs that make data sets: what is asked for one, and what can be told of it from what /jobs answers.

import { askJson } from "./api.js";
import { asRequest } from "./choice.js";

const PAGE = 100; // jobs in an answer, at most
const MOST_FOLLOWED = 5; // jobs that are asked for one by one
const MOST_PARTS = 5; // files that a contact sheet has images of
const SHEET = 60; // images of a contact sheet
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const END = [0x49, 0x45, 0x4e, 0x44]; // of a PNG: IEND, and four bytes more

/** A settled choice of the view "data" → the body of POST /jobs. */
export function asJob(settled) {
  const { n, label, ...body } = asRequest(settled);
  const { asks, counts, format, judge, distinct, can: { labels } } = settled;
  Object.assign(body, { format }, judge && { accept: { judge } }, distinct && { distinct: true });
  if (asks !== "each") return { ...body, n: counts[0] };
  const asked = labels.map((name, i) => [name, counts[i]]).filter(([, count]) => count > 0);
  return { ...body, label: Object.fromEntries(asked) };
}

export const rowsOf = ({ counts }) => counts.reduce((sum, count) => sum + count, 0);

/** [{label, done, all}] of a job that was asked by counts; [] of another. Each stretch of its rows has nearly the counts'
 * proportions, so that `done` is right to about one row until all are done. */
export function classesDone({ rows, rows_done: done, request: { label } }) {
  if (label === null || typeof label !== "object" || Array.isArray(label)) return [];
  return Object.entries(label).map(([name, all]) => ({ label: name, done: Math.round((all * done) / rows), all }));
}

/** Jobs, the newest first, without those that were cancelled: some hundred, where there are so many. */
export async function newestJobs() {
  const found = [];
  let older = "";
  for (;;) {
    const { jobs } = await askJson(`jobs?limit=${PAGE}${older}`);
    found.push(...jobs.filter(({ state }) => state !== "cancelled"));
    if (jobs.length < PAGE || found.length >= PAGE) return found;
    older = `&before=${jobs.at(-1).id}`;
  }
}

export const finished = ({ state }) => !["queued", "running"].includes(state);

/** The oldest of these jobs that go on, as they are now. A list of jobs is long, so they alone are asked for. null where
 * the list is needed: none goes on, or one of them has ended or is gone. */
export async function followed(jobs) {
  const going = jobs.filter((job) => !finished(job)).slice(-MOST_FOLLOWED);
  const found = await Promise.all(going.map(({ id }) => askJson(`jobs/${id}`))).catch(() => []);
  return found.length && !found.some(finished) ? found : null;
}

/** How many samples of each of its first files a job's contact sheet shows, so that it is full when all are there. */
export function partsShown(files, { rows, request: { rows_per_file: per } }) {
  const parts = Math.min(MOST_PARTS, Math.ceil(rows / per));
  return files.filter(({ name }) => !name.includes(".labels.")).slice(0, parts)
    .map(({ name }) => ({ name, most: Math.ceil(SHEET / parts) }));
}

/** The first PNGs in the bytes of a file that holds them as they are, such as a tar, a zip or a Parquet file. */
export function pngsIn(bytes, most) {
  const found = [];
  for (let at = find(bytes, PNG, 0); at >= 0 && found.length < most; at = find(bytes, PNG, at + 1)) {
    const end = find(bytes, END, at);
    if (end < 0) break; // cut off
    found.push(bytes.subarray(at, end + 8));
  }
  return found;
}

function find(bytes, wanted, from) {
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

/** The first images of a .npy of uint8: {height, width, channels, images: [bytes]}. */
export function imagesIn(bytes, most) {
  const start = 10 + bytes[8] + 256 * bytes[9];
  const header = String.fromCharCode(...bytes.subarray(10, start));
  const [, height, width, channels = 1] = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((one) => one.trim()).map(Number);
  const size = height * width * channels;
  const there = Math.min(most, Math.floor((bytes.length - start) / size));
  const images = Array.from({ length: there }, (_, i) => bytes.subarray(start + i * size, start + (i + 1) * size));
  return { height, width, channels, images };
}

/** The cells of a line of a CSV. */
const cellsOf = (line) => [...`,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^,]*))/g)]
  .map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);

/** The first points of a CSV that may be cut off: {columns, points, labels}, of its columns of numbers alone; labels are
    null where there are none. */
export function pointsIn(text, most) {
  const lines = text.split("\r\n").slice(0, -1);
  const names = cellsOf(lines[0]);
  const rows = lines.slice(1, most + 1).map(cellsOf);
  const label = names.indexOf("label");
  const isNumber = (cell) => cell !== "" && Number.isFinite(Number(cell));
  const places = [...names.keys()].slice(0, -1) // the last one is the seed
    .filter((i) => i !== label && rows.every((row) => isNumber(row[i]))); // others cannot be drawn
  return {
    columns: places.map((i) => names[i]),
    points: rows.map((row) => places.map((i) => Number(row[i]))),
    labels: label < 0 ? null : rows.map((row) => row[label]),
  };
}
