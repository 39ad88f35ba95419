// English.

const counted = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export const english = {
  "below a second": "less than a second",
  seconds: ({ value }) => `${value} s`,

  "lead generate": "Every sample begins as noise. This is what the model believes it will become, step by step.",
  "lead draw": "Draw, and a model follows while you do.",
  "lead compare": "The same noise, taken to its end in several ways.",

  asking: "Asking the service …",
  expected: ({ time }) => `About ${time} on this machine.`,
  waiting: ({ jobs, time }) => `${counted(jobs, "request runs", "requests run")} first, about ${time}.`,
  running: ({ step, of, time }) => `Step ${step} of ${of}, about ${time} left.`,
  begun: ({ step, of }) => `Step ${step} of ${of}.`,
  stopped: ({ step, of }) => `Stopped after step ${step} of ${of}: this is no finished sample.`,
  "stopped early": "Stopped before anything was sampled: this is the picture of before.",

  generate: "Generate",
  stop: "Stop",
  step: ({ step, of }) => `step ${step} of ${of}`,
  sampled: ({ n, dataset, seed }) => `${n} ${dataset} sampled, seed ${seed}`,
  "sample i": ({ i, seed }) => `Sample ${i}, seed ${seed}`,
  "sample of": ({ label, seed }) => `${label}, seed ${seed}`,
  "look alone": ({ what }) => `${what}: look at it alone`,
  "all of them": "Back to all",

  "not understood": ({ words }) => `Not understood, and ignored: ${words}.`,
  "link corrected": ({ changes }) => `This link asks for what is not here; shown instead: ${changes}.`,
  "corrected to": ({ name, given, used }) => `${name} “${given}” → ${used}`,
  "corrected away": ({ name, given }) => `${name} “${given}” → left out`,
  "pad is empty": "This link has no strokes: the pad is empty. The samples follow the drawing that the link names.",
  "drawing unreadable": "The drawing in this link cannot be read: the pad is empty.",
  "each class": "every class",
  anything: "anything",
  "in words": "in words",

  copy: "Copy",
  download: "Download",
  link: "Link",
  command: "Command",
  copied: ({ name }) => `${name} copied.`,
  "copy by hand": "Selected, to be copied by hand.",

  "no drawings": "No model here follows drawings: train one, such as mnist-control-sketch.",
  "say it in words": "Say in words what to draw.",
};
