<?php
// Debian's php-json-schema (justinrainbow/json-schema), draft-07: every value of the fixtures passes its document, and
// every refused one fails. It reads documents as draft-04, so that a const, for one, would mean nothing to it: a
// closed value has to be an enum. Usage: php validate.php SCHEMA CORPUS

declare(strict_types=1);

require '/usr/share/php/JsonSchema/autoload.php';

[, $root, $corpus] = $argv;

function valid(string $root, string $name, $value): bool
{
    $validator = new JsonSchema\Validator();
    $schema = json_decode(file_get_contents("$root/draft-07/$name"), false, 512, JSON_THROW_ON_ERROR);
    $validator->validate($value, $schema);
    return $validator->isValid();
}

function expect(bool $fact, string $what): void
{
    if (!$fact) {
        fwrite(STDERR, "$what\n");
        exit(1);
    }
}

[$admitted, $refused] = [0, 0];
foreach (file($corpus, FILE_IGNORE_NEW_LINES) as $line) {
    $entry = json_decode($line, false, 512, JSON_THROW_ON_ERROR);
    $params = "params/$entry->action.json";
    $is_refused = (array) $entry->refused !== [];
    expect(valid($root, $params, $entry->params) !== $is_refused, "$entry->case: $params " . json_encode($entry->params));
    $is_refused ? $refused++ : $admitted++;
    if (isset($entry->envelope->status)) {
        expect(valid($root, 'envelope.json', $entry->envelope), "$entry->case: envelope.json");
        $admitted++;
        if ($entry->envelope->status === 0) {
            expect(valid($root, $payload = "payload/$entry->action.json", $entry->envelope->payload), "$entry->case: $payload");
            $admitted++;
        }
    }
}

expect($refused > 0, "$corpus has no refused request");

// The traps: what this validator makes of documents as they are not.
$check = function (string $schema, $value): bool {
    $validator = new JsonSchema\Validator();
    $schema = json_decode($schema);
    $validator->validate($value, $schema);
    return $validator->isValid();
};
expect($check('{"oneOf":[{"const":"a"},{"const":"b"}]}', 'c') === $check('{"oneOf":[{"const":"a"},{"const":"b"}]}', 'a'), 'a const is judged');
expect(!$check('{"enum":["a","b"]}', 'c') && $check('{"enum":["a","b"]}', 'a'), 'an enum is not judged');

echo "$admitted values admitted and $refused refused, in draft-07\n";
