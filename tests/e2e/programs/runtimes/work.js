// Worker threads over shared memory, an HTTP server asked by its own clients, timers, zlib in the thread pool.
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const http = require('http');
const zlib = require('zlib');

if (!isMainThread) {
    const cells = new Int32Array(workerData.shared);
    for (let i = 0; i < 20000; i++)
        Atomics.add(cells, 0, 1);
    let x = workerData.seed;
    for (let i = 0; i < 300000; i++)
        x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    parentPort.postMessage(x);
} else {
    const shared = new SharedArrayBuffer(4);
    const workers = [1, 2, 3].map((seed) => new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: { shared, seed } });
        worker.on('message', resolve).on('error', reject);
    }));
    const server = http.createServer((request, response) => {
        zlib.gzip('x'.repeat(100000), (error, packed) => response.end(error ? 'no' : zlib.gunzipSync(packed)));
    });
    const ask = (port) => new Promise((resolve, reject) => {
        http.get({ port, host: '127.0.0.1' }, (answer) => {
            let length = 0;
            answer.on('data', (data) => { length += data.length; }).on('end', () => resolve(length));
        }).on('error', reject);
    });
    (async () => {
        console.log(await Promise.all(workers), new Int32Array(shared)[0]);
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        console.log(await Promise.all(Array.from({ length: 10 }, () => ask(server.address().port))));
        server.close();
        await new Promise((resolve) => setTimeout(resolve, 20));
        process.exitCode = 5;
    })();
}
