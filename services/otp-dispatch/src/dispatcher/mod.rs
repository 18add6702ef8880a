//! `sms-dispatcher`: takes messages from the queue and hands them to carriers.
