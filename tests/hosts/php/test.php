<?php
// The tests of host.php against the real plugin: php test.php PLUGIN. Each is a sentence; the first that fails ends
// the run with 1. Where a plugin has to misbehave, a shell plays it.

declare(strict_types=1);

require __DIR__ . '/host.php';

error_reporting(E_ALL);
set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level) {
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});

$program = $argv[1] ?? exit("usage: php test.php PLUGIN\n");
$sandbox = [$program, '--mta', 'sandbox'];

/** A file that goes at the end. */
function scratch(): string
{
    $file = tempnam(sys_get_temp_dir(), 'host-');
    register_shutdown_function('unlink', $file);
    return $file;
}

/** A plugin played by a shell script; $0 is a file that it may write to. */
function played(string $script): array
{
    return ['sh', '-c', $script, scratch()];
}

/** A port that nobody holds. */
function free_port(): string
{
    return substr(strrchr(stream_socket_get_name(stream_socket_server('tcp://127.0.0.1:0'), false), ':'), 1);
}

/** A state directory that goes at the end. */
function state(): string
{
    mkdir($folder = scratch() . '.state', 0700);
    register_shutdown_function('exec', 'rm -rf ' . escapeshellarg($folder));
    return $folder;
}

/** The exception of this class that the code must throw. */
function thrown(string $class, callable $code): Throwable
{
    try {
        $code();
    } catch (Throwable $error) {
        if ($error instanceof $class) {
            return $error;
        }
        throw $error;
    }
    throw new LogicException("no $class was thrown");
}

function is_alive(string $pid): bool
{
    return preg_match('/\) [^ZX] /', (string) @file_get_contents("/proc/$pid/stat")) === 1;
}

function same($expected, $found): void
{
    if ($expected !== $found) {
        throw new LogicException('expected ' . json_encode($expected) . ', found ' . json_encode($found));
    }
}

const DONE = ['status' => 0, 'payload' => 'Success'];
const ANSWER = '{"jsonrpc":"2.0","id":%d,"result":{"status":0,"payload":"%s"}}\n';

$tests = [
    'the demonstration ends well and shows the running listener' => function () use ($sandbox) {
        putenv('PORT=' . free_port());
        exec(implode(' ', array_map('escapeshellarg', [PHP_BINARY, __DIR__ . '/host.php', ...$sandbox])), $lines, $status);
        same(0, $status);
        same(4, count($lines));
        same(1, preg_match('/^listServiceInfo: .*"ports":"\d+".*"is_running":1/', $lines[2]));
    },
    'a conversation ends in order' => function () use ($sandbox) {
        $plugin = new MailSmtp2($sandbox);
        same(DONE, $plugin->call('update', ['alternate_smtp_port' => free_port(), 'auth_mode' => 'auth_yes/tls_yes']));
        same(DONE, $plugin->call('start'));
        same(1, $plugin->call('listServiceInfo')['payload']['is_running']);
        same(DONE, $plugin->call('stop'));
        same(0, $plugin->close());
    },
    'the page shows the running listener' => function () use ($program) {
        $page = strtr(file_get_contents(__DIR__ . '/page.php'), ['2587' => free_port(), "'mail-smtp2'," => "'" . realpath($program) . "',"]);
        putenv('STATE=' . state());
        file_put_contents($file = scratch(), $page);
        exec('cd ' . escapeshellarg(__DIR__) . ' && ' . escapeshellarg(PHP_BINARY) . ' ' . escapeshellarg($file), $lines, $status);
        same(0, $status);
        same(['update: "Success"', 'start: "Success"'], array_slice($lines, 0, 2));
        same(1, preg_match('/^listServiceInfo: .*"is_running":1/', $lines[2]));
        same('stop: "Success"', $lines[3]);
    },
    'no parameters, PHP\'s [], are accepted' => function () use ($sandbox) {
        same(['status' => 0, 'payload' => 'smtp2'], (new MailSmtp2($sandbox))->call('listServiceName', []));
    },
    'a port as text and a flag as a boolean are accepted' => function () use ($sandbox) {
        $input = ['alternate_smtp_port' => free_port(), 'auth_mode' => 'auth_yes/tls_yes', 'cascade_to_nodes' => true];
        same(DONE, (new MailSmtp2($sandbox))->call('update', $input));
    },
    'an empty form field and null count as not given' => function () use ($sandbox) {
        $plugin = new MailSmtp2($sandbox);
        $plugin->call('update', ['alternate_smtp_port' => $port = free_port(), 'auth_mode' => 'auth_yes/tls_yes']);
        same(DONE, $plugin->call('update', ['alternate_smtp_port' => '', 'auth_mode' => null, 'cascade_to_nodes' => '']));
        same($port, $plugin->call('listPortNumbers')['payload']);
    },
    'an update and the listing after it agree' => function () use ($sandbox) {
        $plugin = new MailSmtp2($sandbox);
        $plugin->call('update', ['alternate_smtp_port' => $port = free_port(), 'auth_mode' => 'auth_yes/tls_yes']);
        same([(int) $port], $plugin->call('listPortNumbersArray')['payload']);
    },
    'refused input is an envelope with status 11' => function () use ($sandbox) {
        same(11, (new MailSmtp2($sandbox))->call('update', ['alternate_smtp_port' => '0587'])['status']);
    },
    'an unknown action is an exception with the number of the fault' => function () use ($sandbox) {
        same(-32601, thrown(RuntimeException::class, fn () => (new MailSmtp2($sandbox))->call('list'))->getCode());
    },
    'a request that is too big is a fault, and not a time-out' => function () use ($sandbox) {
        $input = ['auth_mode' => str_repeat('x', 2 << 20)];
        same(-32007, thrown(RuntimeException::class, fn () => (new MailSmtp2($sandbox))->call('update', $input))->getCode());
    },
    'a plugin that was killed is started anew' => function () use ($sandbox) {
        // Its input ends after one line, and so does it.
        $plugin = new MailSmtp2(['sh', '-c', 'head -n 1 | "$@"', 'sh', ...$sandbox]);
        foreach (range(1, 3) as $_) {
            same('smtp2', $plugin->call('listServiceName')['payload']);
        }
    },
    'a plugin that is silent is given up after the time-out' => function () {
        $plugin = new MailSmtp2(played('read line; read line'), 0.2);
        same('mail-smtp2 did not answer within 0.2 seconds', thrown(NoAnswer::class, fn () => $plugin->call('start'))->getMessage());
    },
    'a late reply is not taken for the next one' => function () {
        $say = fn (int $id, string $what) => "printf '" . sprintf(ANSWER, $id, $what) . "'; ";
        $plugin = new MailSmtp2(played('read line; read line; ' . $say(0, 'late') . $say(1, 'right')), 2);
        thrown(NoAnswer::class, fn () => $plugin->call('start'));
        same('right', $plugin->call('listServiceName')['payload']);
    },
    'a late reply says what became of a change' => function () {
        $plugin = new MailSmtp2(played('read line; read line; ' . "printf '" . sprintf(ANSWER, 0, 'made') . sprintf(ANSWER, 1, 'x') . "'; cat"), 2);
        $noAnswer = thrown(NoAnswer::class, fn () => $plugin->call('start'));
        same(null, $plugin->late($noAnswer));
        $plugin->call('isRunning');
        same('made', $plugin->late($noAnswer)['payload']);
    },
    'a time-out frees the caller although the plugin goes on' => function () {
        $begun = microtime(true);
        $plugin = new MailSmtp2(played('read line; exec sleep 20'), 0.2);
        thrown(NoAnswer::class, fn () => $plugin->call('start'));
        unset($plugin);
        same(true, microtime(true) - $begun < 15);
    },
    'the fields of a form that are not the plugin\'s are left out' => function () use ($sandbox) {
        $form = ['alternate_smtp_port' => free_port(), 'auth_mode' => 'auth_yes/tls_yes', 'token' => 'x', 'save' => 'Save'];
        same(DONE, (new MailSmtp2($sandbox))->call('update', MailSmtp2::inputs($form)));
    },
    'text in another character set is refused under its field' => function () use ($sandbox) {
        $envelope = (new MailSmtp2($sandbox))->call('update', ['auth_mode' => "caf\xE9"]);
        same([11, 'auth_mode', 'enum'], [$envelope['status'], $envelope['error']['fields'][0]['name'], $envelope['error']['fields'][0]['keyword']]);
    },
    'a sandbox with a state directory is there on the next page' => function () use ($sandbox) {
        $command = [...$sandbox, '--state-dir', state()];
        $first = new MailSmtp2($command);
        same(DONE, $first->call('update', ['alternate_smtp_port' => free_port(), 'auth_mode' => 'auth_yes/tls_yes']));
        same(DONE, $first->call('start'));
        same(0, $first->close());
        $second = new MailSmtp2($command);
        same(true, $second->call('isRunning')['payload']);
        same(DONE, $second->call('stop'));
    },
    'a reply that comes in pieces is put together' => function () {
        $plugin = new MailSmtp2(played('read line; ' . <<<'SH'
            printf '{"jsonrpc":"2.0","id":0,"res'; sleep 0.2; printf 'ult":{"status":0,"payload":"whole"}}\n'; cat
            SH));
        same('whole', $plugin->call('listServiceName')['payload']);
    },
    'a last reply is read although the plugin has ended' => function () {
        $plugin = new MailSmtp2(played("read line; printf '" . sprintf(ANSWER, 0, 'last') . "'"));
        same('last', $plugin->call('start')['payload']);
    },
    'a listing whose plugin dies is asked again' => function () {
        $plugin = new MailSmtp2($command = played('echo begun >>"$0"; read line'));
        thrown(NoAnswer::class, fn () => $plugin->call('listServiceInfo'));
        same(2, count(file(end($command))));
    },
    'a change whose plugin dies is not sent again' => function () {
        $plugin = new MailSmtp2($command = played('echo begun >>"$0"; read line'));
        thrown(NoAnswer::class, fn () => $plugin->call('start'));
        same(1, count(file(end($command))));
    },
    'a host that goes takes its plugin along' => function () use ($sandbox) {
        $plugin = new MailSmtp2(['sh', '-c', 'echo $$ >"$0"; exec "$@"', $file = scratch(), ...$sandbox]);
        $plugin->call('listServiceName');
        unset($plugin);
        // It is not waited for, and a zombie until it is looked at.
        for ($at = 0; $at < 600 && is_alive(trim(file_get_contents($file))); $at++) {
            usleep(50000);
        }
        same(false, is_alive(trim(file_get_contents($file))));
    },
];

foreach ($tests as $sentence => $test) {
    try {
        $test();
        echo "ok: $sentence\n";
    } catch (Throwable $error) {
        echo "FAILED: $sentence\n  ", get_class($error), ": {$error->getMessage()}\n";
        exit(1);
    }
}
echo 'PHP ', PHP_VERSION, ': ', count($tests), " tests passed\n";
