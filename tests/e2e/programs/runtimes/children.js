// child_process in all its forms, a cluster that shares a port, workers with shared memory.
const { spawn, spawnSync, exec, execFile, fork } = require('child_process');
const cluster = require('cluster');
const http = require('http');
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');

const WORKERS = 2, REQUESTS = 40;

function get(port) {
    return new Promise((resolve, reject) => http.get({ port, path: '/', agent: false }, (answer) => {
        let text = '';
        answer.on('data', (data) => text += data).on('end', () => resolve(text));
    }).on('error', reject));
}

async function clusters() {
    const workers = [];
    for (let i = 0; i < WORKERS; i++)
        workers.push(cluster.fork());
    const port = await new Promise((resolve) => {
        let listening = 0;
        cluster.on('listening', (_, address) => ++listening === WORKERS && resolve(address.port));
    });
    const answers = new Map();
    for (let i = 0; i < REQUESTS; i++) {
        const answer = await get(port);
        answers.set(answer, (answers.get(answer) || 0) + 1);
    }
    console.log('cluster', answers.size, [...answers.values()].reduce((a, b) => a + b));
    const ends = workers.map((worker) => new Promise((resolve) => worker.on('exit', (code, signal) => resolve([code, signal]))));
    workers[0].send('leave');
    workers[1].kill('SIGTERM');
    console.log('ends', JSON.stringify(await Promise.all(ends)));
}

function child(command, args, options, input) {
    return new Promise((resolve) => {
        const it = spawn(command, args, options);
        let text = '';
        it.stdout.on('data', (data) => text += data);
        it.on('error', (error) => resolve(error.code));
        it.on('close', (code, signal) => resolve([text, code, signal]));
        it.stdin.on('error', () => {});
        it.stdin.end(input);
    });
}

async function main() {
    console.log(spawnSync('echo', ['sync']).stdout.toString());
    console.log(await child('cat', [], {}, 'x'.repeat(200000)).then(([text, code]) => [text.length, code]));
    console.log(await child('/nowhere', [], {}, ''));
    console.log(await new Promise((resolve) => exec('echo from a shell; exit 4', (error, out) => resolve([error.code, out]))));
    console.log(await new Promise((resolve) => execFile('sleep', ['100'], { timeout: 200 }, (error) => resolve([error.killed, error.signal]))));
    const other = fork(__filename, ['child']);
    console.log(await new Promise((resolve) => other.on('message', resolve).send({ n: 20 })));
    console.log(await new Promise((resolve) => other.on('exit', resolve).send('end')));
    const shared = new SharedArrayBuffer(4), counter = new Int32Array(shared);
    await Promise.all([1, 2, 3].map(() => new Promise((resolve) => new Worker(__filename, { workerData: shared }).on('exit', resolve))));
    console.log('workers', counter[0]);
    await clusters();
    process.exit(0);
}

if (!isMainThread) {
    const counter = new Int32Array(workerData);
    for (let i = 0; i < 10000; i++)
        Atomics.add(counter, 0, 1);
} else if (process.argv[2] === 'child') {
    process.on('message', (message) => message === 'end' ? process.exit(6) : process.send({ square: message.n ** 2 }));
} else if (cluster.isPrimary) {
    main();
} else {
    http.createServer((_, answer) => answer.end(`worker ${cluster.worker.id}`)).listen(0);
    process.on('message', (message) => message === 'leave' && process.exit(3));
}
