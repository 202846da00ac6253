<?php
require 'host.php';

$plugin = new MailSmtp2(['mail-smtp2', '--mta', 'sandbox']);   // on a real mail server: ['mail-smtp2']
$form = ['alternate_smtp_port' => '2587', 'auth_mode' => 'auth_yes/tls_yes'];   // text, as $_POST has it
foreach (['update' => $form, 'start' => [], 'listServiceInfo' => [], 'stop' => []] as $action => $params) {
    ['status' => $status, 'payload' => $payload] = $plugin->call($action, $params);
    echo $action, $status === 0 ? ': ' : " failed with status $status: ", json_encode($payload), "\n";
}
