<?php
// A host for mail-smtp2: keeps one plugin process, asks it one thing at a time, starts another when it is gone.
// PHP 7.4 or newer, no extensions. Try it: php host.php mail-smtp2 --mta sandbox

declare(strict_types=1);

/** The plugin is gone, or did not answer in time: what became of a change is not known. Ask late(), or listServiceInfo. */
final class NoAnswer extends RuntimeException
{
    /** The id of the request, for late(). */
    public ?int $id = null;
}

final class MailSmtp2
{
    private array $command;
    private float $timeOut;
    private $process = null;
    private array $pipes = [];
    private string $heard = '';
    private int $nextId = 0;
    /** Replies that came after the time-out, by id. */
    private array $late = [];
    /** Plugins that were let go and may still be finishing a change. */
    private static array $released = [];

    /** What each change takes of a form; whatever else a page sends is not for the plugin. */
    private const INPUTS = ['alternate_smtp_port' => 1, 'auth_mode' => 1, 'cascade_to_nodes' => 1, 'node_id' => 1];

    /** A change waits 10 s for its turn, works for 20 s and takes 20 s to undo what failed: a minute is enough. */
    public function __construct(array $command, float $timeOut = 60.0)
    {
        $this->command = $command;
        $this->timeOut = $timeOut;
    }

    public function __destruct()
    {
        $this->release();
    }

    /** The inputs among the fields of a form: the button, a token and other people's fields would be refused. */
    public static function inputs(array $form): array
    {
        return array_intersect_key($form, self::INPUTS);
    }

    /** Does one action; its envelope: ['status' => 0, 'payload' => ...], where a status that is not 0 is a failure. */
    public function call(string $action, array $params = []): array
    {
        $id = $this->nextId++;
        $request = ['jsonrpc' => '2.0', 'id' => $id, 'method' => $action, 'params' => $params];
        // A form in another character set than UTF-8 is refused by the plugin, under the name of its field.
        $line = json_encode($request, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
        $reply = $this->ask($line, $id);
        // Asking twice is harmless; a change that may have been made is never sent again.
        if ($reply === null && preg_match('/^(is|list|query)/', $action)) {
            $reply = $this->ask($line, $id);
        }
        if ($reply === null) {
            throw new NoAnswer("mail-smtp2 ended before it answered $action");
        }
        if (isset($reply['error'])) {
            throw new RuntimeException($reply['error']['message'], $reply['error']['code']);
        }
        return $reply['result'];
    }

    /** What became of a request that ran out of time: its envelope, if it has come by now; null if it has not. */
    public function late(NoAnswer $noAnswer): ?array
    {
        while ($this->process !== null && ($text = $this->readLine(0.0)) !== null && $text !== '') {
            $this->keep(json_decode($text, true, 512, JSON_THROW_ON_ERROR));
        }
        return $this->late[$noAnswer->id]['result'] ?? null;
    }

    /** Lets the plugin go without waiting: it finishes a change that has begun, and ends. */
    public function release(): void
    {
        if ($this->process === null) {
            return;
        }
        array_map('fclose', $this->pipes);
        // Kept, and looked at now and then, so that one that has ended is no zombie.
        self::$released[] = $this->process;
        self::$released = array_filter(self::$released, fn ($it) => proc_get_status($it)['running']);
        [$this->process, $this->pipes, $this->heard] = [null, [], ''];
    }

    private function keep(array $reply): void
    {
        if (isset($reply['id'])) {
            $this->late[$reply['id']] = $reply;
        }
    }

    /** Ends the plugin and waits for it, a change that has begun included; its exit status, 0 if all is well. */
    public function close(): int
    {
        if ($this->process === null) {
            return 0;
        }
        fclose($this->pipes[0]);
        // What it still has to say is read, or it could not end in order.
        stream_set_blocking($this->pipes[1], true);
        stream_get_contents($this->pipes[1]);
        fclose($this->pipes[1]);
        $status = proc_close($this->process);
        $this->process = null;
        $this->heard = '';
        return $status;
    }

    /** The reply with this id, or null when the plugin is gone. */
    private function ask(string $line, int $id): ?array
    {
        $deadline = microtime(true) + $this->timeOut;
        $this->open();
        if (@fwrite($this->pipes[0], $line) !== strlen($line)) {
            $this->close();
            return null;
        }
        while (($text = $this->readLine($deadline)) !== null) {
            if ($text === '') {
                $noAnswer = new NoAnswer("mail-smtp2 did not answer within {$this->timeOut} seconds");
                $noAnswer->id = $id;
                throw $noAnswer;
            }
            $reply = json_decode($text, true, 512, JSON_THROW_ON_ERROR);
            // Another id is a late reply, to a request that ran out of time; none is a fault of this very line.
            if (($reply['id'] ?? $id) === $id) {
                return $reply;
            }
            $this->keep($reply);
        }
        $this->close();
        return null;
    }

    private function open(): void
    {
        if ($this->process !== null && proc_get_status($this->process)['running']) {
            return;
        }
        $this->close();
        // Descriptor 2 is inherited: the plugin's log goes where PHP's own goes.
        $process = proc_open($this->command, [['pipe', 'r'], ['pipe', 'w']], $this->pipes);
        if ($process === false) {
            throw new NoAnswer("cannot start {$this->command[0]}");
        }
        $this->process = $process;
        stream_set_blocking($this->pipes[1], false);
    }

    /** One line without its end; '' where none has come by the deadline, null at the end of the plugin's output. */
    private function readLine(float $deadline): ?string
    {
        while (($end = strpos($this->heard, "\n")) === false) {
            $left = max(0.0, $deadline - microtime(true));
            [$read, $write, $except] = [[$this->pipes[1]], null, null];
            $ready = @stream_select($read, $write, $except, (int) $left, (int) (fmod($left, 1) * 1e6));
            if (!$ready && $left <= 0) {
                return '';
            }
            if ($ready) {
                $piece = (string) fread($this->pipes[1], 65536);
                if ($piece === '' && feof($this->pipes[1])) {
                    return null;
                }
                $this->heard .= $piece;
            }
        }
        $line = substr($this->heard, 0, $end);
        $this->heard = substr($this->heard, $end + 1);
        return $line;
    }
}

// A demonstration, when this file is run rather than included. Forms send text: "2587" and "0" are understood.
if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    $plugin = new MailSmtp2(array_slice($argv, 1) ?: ['mail-smtp2', '--mta', 'sandbox']);
    $port = getenv('PORT') ?: '2587';
    $steps = [
        'update' => ['alternate_smtp_port' => $port, 'auth_mode' => 'auth_yes/tls_yes'],
        'start' => ['cascade_to_nodes' => '0'],
        'listServiceInfo' => [],
        'stop' => [],
    ];
    foreach ($steps as $action => $params) {
        $envelope = $plugin->call($action, $params);
        echo "$action: ", json_encode($envelope, JSON_UNESCAPED_SLASHES), "\n";
        if ($envelope['status'] !== 0) {
            exit(1);
        }
    }
    exit($plugin->close());
}
