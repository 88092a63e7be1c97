// Children by spawn, execFileSync and fork.
const child = require('child_process');
if (process.argv[2] === 'worker') {
    process.on('message', (m) => { process.send({ sum: m.a + m.b }); process.disconnect(); });
} else {
    console.log(child.execFileSync('/bin/cat', { input: 'fed' }).toString());
    const worker = child.fork(__filename, ['worker']);
    worker.on('message', (m) => console.log('sum', m.sum));
    worker.on('exit', (code) => {
        console.log('worker', code);
        const shell = child.spawn('/bin/sh', ['-c', 'cat; exit 4']);
        shell.stdout.on('data', (data) => console.log('shell', data.toString()));
        shell.on('close', (status) => console.log('closed', status));
        shell.stdin.end('hello');
    });
    worker.send({ a: 1, b: 2 });
}
