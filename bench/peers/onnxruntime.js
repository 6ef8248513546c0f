// Runs one graph in onnxruntime: node onnxruntime.js job.json
// The job: module (folder of onnxruntime-node), graph, threads, seconds, inputs
// ({name: {file, dims}}, row-major float32), output (file to write). Prints one
// line of JSON: the best time of a run in milliseconds, and the version.
'use strict';
const fs = require('fs');
const path = require('path');

async function main() {
  const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  const ort = require(job.module);
  const version = JSON.parse(fs.readFileSync(path.join(job.module, 'package.json'), 'utf8')).version;
  const session = await ort.InferenceSession.create(job.graph, {
    intraOpNumThreads: job.threads, interOpNumThreads: 1, graphOptimizationLevel: 'all',
  });
  const feeds = {};
  for (const [name, input] of Object.entries(job.inputs)) {
    const bytes = fs.readFileSync(input.file);
    const numbers = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    feeds[name] = new ort.Tensor('float32', Float32Array.from(numbers), input.dims);
  }
  let best = Infinity;
  let result;
  const end = Date.now() + 1000 * job.seconds;
  for (let runs = 0; runs < 3 || Date.now() < end; ++runs) {
    const start = process.hrtime.bigint();
    result = await session.run(feeds);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e6);
  }
  const y = result[session.outputNames[0]].data;
  fs.writeFileSync(job.output, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
  console.log(JSON.stringify({ms: best, version: version}));
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
