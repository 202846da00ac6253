<?php
require 'host.php';

// With a state directory the sandbox's listener outlives this page and is there for the next one, until stop.
$state = getenv('STATE') ?: sys_get_temp_dir() . '/mail-smtp2-' . getmyuid();
$plugin = new MailSmtp2(['mail-smtp2', '--mta', 'sandbox', '--state-dir', $state]);   // on a real mail server: ['mail-smtp2']
$form = $_POST ?: ['alternate_smtp_port' => '2587', 'auth_mode' => 'auth_yes/tls_yes', 'token' => 'x', 'save' => 'Save'];
foreach (['update' => MailSmtp2::inputs($form), 'start' => [], 'listServiceInfo' => [], 'stop' => []] as $action => $params) {
    ['status' => $status, 'payload' => $payload] = $envelope = $plugin->call($action, $params);
    echo $action, $status === 0 ? ': ' : " failed with status $status: ", json_encode($payload), "\n";
    foreach ($envelope['error']['fields'] ?? [] as ['name' => $field, 'message' => $message]) {
        echo "  beside $field: ", htmlspecialchars($message), "\n";
    }
}
