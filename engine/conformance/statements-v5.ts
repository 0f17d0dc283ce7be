/**
 * The normative statements of MQTT 5.0 (OASIS, 7 March 2019), numbered as there, each in our words. `client` marks those that bind
 * clients alone: a server can only answer one that breaks them, and the tests show that answer where there is one.
 */
export const STATEMENTS_V5 = `
1.5.4-1 texts are well-formed UTF-8, without surrogates
1.5.4-2 texts are without U+0000
1.5.4-3 EF BB BF is a character and is never stripped
1.5.5-1 a variable byte integer is as short as can be
1.5.7-1 both texts of a pair are such texts
2.1.3-1 reserved flags of the fixed header have the listed values
2.2.1-2 PUBLISH of QoS 0 has no packet identifier
2.2.1-3 client: SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 have an identifier that is not 0 and not in use
2.2.1-4 a server's PUBLISH above QoS 0 has an identifier that is not 0 and not in use
2.2.1-5 PUBACK, PUBREC, PUBREL and PUBCOMP have the identifier of their PUBLISH
2.2.1-6 SUBACK and UNSUBACK have the identifier of what they answer
2.2.2-1 without properties the property length is 0
3.1.0-1 the first packet is CONNECT
3.1.0-2 a second CONNECT is a protocol error and ends the connection
3.1.2-1 another protocol name may get CONNACK 0x84, and ends the connection
3.1.2-2 another protocol version may get CONNACK 0x84, and ends the connection
3.1.2-3 the reserved flag of CONNECT is 0, or it is malformed
3.1.2-4 clean start 1 discards the session that is there
3.1.2-5 clean start 0 goes on with the session that is there
3.1.2-6 clean start 0 without a session begins one
3.1.2-7 a will is stored with the session
3.1.2-8 a will is published after the connection ends, when its delay or the session is over, unless DISCONNECT 0x00 or a new connection took it away
3.1.2-9 with the will flag, properties, topic and payload of the will are there
3.1.2-10 a will is gone once published, or with DISCONNECT 0x00
3.1.2-11 without the will flag the QoS of the will is 0
3.1.2-12 the QoS of a will is not 3
3.1.2-13 without the will flag its retain flag is 0
3.1.2-14 a will without retain is published not retained
3.1.2-15 a will with retain is published retained
3.1.2-16 without the user name flag there is no user name
3.1.2-17 with the user name flag there is a user name
3.1.2-18 without the password flag there is no password
3.1.2-19 with the password flag there is a password
3.1.2-20 client: sends PINGREQ when it has nothing else to send within the keep-alive
3.1.2-21 client: keeps the server's keep-alive when it was given one
3.1.2-22 one and a half keep-alives of silence end the connection as if the network had failed
3.1.2-23 a session is kept after the connection for its expiry interval
3.1.2-24 no packet exceeds the client's maximum packet size
3.1.2-25 a message too large for a client is discarded as if sent
3.1.2-26 no topic alias exceeds the client's maximum
3.1.2-27 without a maximum the client gets no topic alias
3.1.2-28 no response information without being asked for
3.1.2-29 without request for problem information, reason strings and user properties are on PUBLISH, CONNACK and DISCONNECT alone
3.1.2-30 client: with an authentication method, sends only AUTH or DISCONNECT before CONNACK
3.1.3-1 the payload's fields come in their order
3.1.3-2 the client identifier names the session
3.1.3-3 the client identifier is the first field of the payload
3.1.3-4 the client identifier is UTF-8
3.1.3-5 identifiers of 1 to 23 letters and digits are taken
3.1.3-6 an empty identifier is replaced by a unique one
3.1.3-7 the assigned identifier is returned and used as if the client had sent it
3.1.3-8 a refused identifier may get CONNACK 0x85, and ends the connection
3.1.3-9 a new connection within the delay keeps the will from being sent
3.1.3-10 user properties of a will keep their order
3.1.3-11 the will's topic is UTF-8
3.1.3-12 the user name is UTF-8
3.1.4-1 a CONNECT that is not as section 3.1 says ends the connection
3.1.4-2 a failed authentication or authorization ends the connection
3.1.4-3 the older connection of the same client gets DISCONNECT 0x8E and ends
3.1.4-4 clean start is carried out
3.1.4-5 a good CONNECT gets CONNACK 0x00
3.1.4-6 after a refusal nothing that the client sent is processed
3.2.0-1 CONNACK 0x00 comes before any other packet but AUTH
3.2.0-2 there is one CONNACK at most
3.2.2-1 the flags of CONNACK are 0 but for session present
3.2.2-2 clean start 1 gets session present 0
3.2.2-3 clean start 0 gets session present 1 when there is a session, else 0
3.2.2-4 client: closes when a session is present of which it knows nothing
3.2.2-5 client: discards its session when none is present
3.2.2-6 with a reason code other than 0, session present is 0
3.2.2-7 with a reason code of 0x80 or more the connection ends
3.2.2-8 CONNACK's reason codes are those of its table
3.2.2-9 a server without QoS 1 or 2 would say so; this one has both and does not
3.2.2-10 whatever QoS a SUBSCRIBE asks for is taken
3.2.2-11 client: keeps to the maximum QoS that it was given
3.2.2-12 a will of a QoS that the server lacks would be refused; this one lacks none
3.2.2-13 a retained will is refused by a server without retained messages; this one has them
3.2.2-14 client: does not retain where that is not available
3.2.2-15 client: keeps to the server's maximum packet size, or gets DISCONNECT 0x95
3.2.2-16 an assigned identifier is nobody else's
3.2.2-17 client: keeps to the server's topic alias maximum
3.2.2-18 client: uses no topic alias where none was offered
3.2.2-19 CONNACK leaves out a reason string that makes it too large
3.2.2-20 CONNACK leaves out user properties that make it too large
3.2.2-21 client: keeps the server's keep-alive
3.2.2-22 without a keep-alive of the server the client's is used
3.3.1-1 DUP is 1 when a PUBLISH is sent again
3.3.1-2 DUP is 0 with QoS 0
3.3.1-3 DUP of what goes out does not depend on what came in
3.3.1-4 QoS 3 is malformed
3.3.1-5 RETAIN 1 replaces the topic's retained message
3.3.1-6 an empty RETAIN message is delivered and removes what was retained
3.3.1-7 an empty RETAIN message is not stored
3.3.1-8 without RETAIN nothing is stored or removed
3.3.1-9 retain handling 0 brings the retained messages that match
3.3.1-10 retain handling 1 brings them when the subscription is new
3.3.1-11 retain handling 2 brings none
3.3.1-12 without retain as published RETAIN goes out as 0
3.3.1-13 with retain as published RETAIN goes out as it came
3.3.2-1 the topic is PUBLISH's first field, in UTF-8
3.3.2-2 a topic name has no wildcards
3.3.2-3 what a subscriber gets matches its filter
3.3.2-4 the payload format indicator is forwarded
3.3.2-5 a message whose expiry has passed before it was sent is deleted
3.3.2-6 the expiry goes out less the time that the message has waited
3.3.2-7 topic aliases end with their connection
3.3.2-8 a topic alias is not 0
3.3.2-9 client: keeps to the server's topic alias maximum
3.3.2-10 client: takes all aliases that it offered
3.3.2-11 no topic alias exceeds the client's maximum
3.3.2-12 all aliases up to the server's maximum are taken
3.3.2-13 the response topic is UTF-8
3.3.2-14 the response topic has no wildcards
3.3.2-15 the response topic is forwarded
3.3.2-16 correlation data is forwarded
3.3.2-17 user properties are forwarded
3.3.2-18 in their order
3.3.2-19 the content type is UTF-8
3.3.2-20 the content type is forwarded
3.3.4-1 a PUBLISH is answered as its QoS says
3.3.4-2 overlapping subscriptions: the greatest QoS of those that match
3.3.4-3 the identifiers of the subscriptions that match go with the message
3.3.4-4 one copy carries all of them
3.3.4-5 several copies would carry one each; here there is one copy
3.3.4-6 client: sends no subscription identifier in PUBLISH
3.3.4-7 client: keeps to the server's receive maximum, or gets DISCONNECT 0x93
3.3.4-8 client: delays nothing but PUBLISH when its quota is used up
3.3.4-9 the client's receive maximum is kept to
3.3.4-10 nothing but PUBLISH waits for it
3.4.2-1 PUBACK's reason codes are those of its table
3.4.2-2 PUBACK leaves out a reason string that makes it too large
3.4.2-3 and user properties
3.5.2-1 PUBREC's reason codes are those of its table
3.5.2-2 PUBREC leaves out a reason string that makes it too large
3.5.2-3 and user properties
3.6.1-1 PUBREL's flags are 2, or it is malformed
3.6.2-1 PUBREL's reason codes are those of its table
3.6.2-2 PUBREL leaves out a reason string that makes it too large
3.6.2-3 and user properties
3.7.2-1 PUBCOMP's reason codes are those of its table
3.7.2-2 PUBCOMP leaves out a reason string that makes it too large
3.7.2-3 and user properties
3.8.1-1 SUBSCRIBE's flags are 2, or it is malformed
3.8.3-1 filters are UTF-8
3.8.3-2 SUBSCRIBE has a filter
3.8.3-3 no local keeps a client's own messages from it
3.8.3-4 no local on a shared subscription is a protocol error
3.8.3-5 reserved bits of the subscription options are 0, or it is malformed
3.8.4-1 SUBSCRIBE gets SUBACK
3.8.4-2 with the same packet identifier
3.8.4-3 an equal filter replaces the subscription
3.8.4-4 with retain handling 0 retained messages come again, and nothing is missed meanwhile
3.8.4-5 several filters are as several SUBSCRIBEs with one SUBACK
3.8.4-6 a reason code for each filter
3.8.4-7 it is the granted QoS, or a failure
3.8.4-8 delivered is the lesser of the published and the granted QoS
3.9.2-1 SUBACK leaves out a reason string that makes it too large
3.9.2-2 and user properties
3.9.3-1 reason codes are in the order of the filters
3.9.3-2 SUBACK's reason codes are those of its table
3.10.1-1 UNSUBSCRIBE's flags are 2, or it is malformed
3.10.3-1 filters are UTF-8
3.10.3-2 UNSUBSCRIBE has a filter
3.10.4-1 filters are compared character by character
3.10.4-2 after UNSUBSCRIBE no further message is added
3.10.4-3 what was begun at QoS 1 or 2 is completed
3.10.4-4 UNSUBSCRIBE gets UNSUBACK
3.10.4-5 with its identifier, also when no filter was there
3.10.4-6 several filters are as several UNSUBSCRIBEs with one UNSUBACK
3.11.2-1 UNSUBACK leaves out a reason string that makes it too large
3.11.2-2 and user properties
3.11.3-1 reason codes are in the order of the filters
3.11.3-2 UNSUBACK's reason codes are those of its table
3.12.4-1 PINGREQ gets PINGRESP
3.14.0-1 no DISCONNECT before a CONNACK below 0x80
3.14.1-1 DISCONNECT's reserved bits are 0, or it is malformed
3.14.2-1 DISCONNECT's reason codes are those of its table
3.14.2-2 a server's DISCONNECT has no session expiry interval
3.14.2-3 DISCONNECT leaves out a reason string that makes it too large
3.14.2-4 and user properties
3.14.4-1 nothing is sent after DISCONNECT
3.14.4-2 who sends DISCONNECT closes
3.14.4-3 DISCONNECT 0x00 discards the will
3.15.1-1 AUTH's flags are 0, or it is malformed
3.15.2-1 AUTH's reason codes are those of its table
3.15.2-2 AUTH leaves out a reason string that makes it too large
3.15.2-3 and user properties
4.1.0-1 a session is not discarded while its connection is open
4.1.0-2 a session is discarded when its expiry interval has passed
4.2.0-1 there is a transport of ordered, lossless bytes
4.3.1-1 QoS 0 is sent with QoS 0 and DUP 0
4.3.2-1 QoS 1 takes a free identifier
4.3.2-2 and DUP 0 at first
4.3.2-3 it is unacknowledged until PUBACK
4.3.2-4 its receiver answers PUBACK once it owns the message
4.3.2-5 after PUBACK the identifier means a new message
4.3.3-1 QoS 2 takes a free identifier
4.3.3-2 and DUP 0 at first
4.3.3-3 it is unacknowledged until PUBREC
4.3.3-4 PUBREC below 0x80 gets PUBREL with its identifier
4.3.3-5 PUBREL is unacknowledged until PUBCOMP
4.3.3-6 PUBLISH is not sent again after PUBREL
4.3.3-7 a message that was sent does not expire
4.3.3-8 its receiver answers PUBREC once it owns the message
4.3.3-9 after PUBREC of 0x80 or more the identifier means a new message
4.3.3-10 until PUBREL the same identifier gets PUBREC again and no second delivery
4.3.3-11 PUBREL gets PUBCOMP with its identifier
4.3.3-12 after PUBCOMP the identifier means a new message
4.3.3-13 the exchange goes on when the message has expired
4.4.0-1 what is unacknowledged is sent again after a reconnect, with its identifiers, and at no other time
4.4.0-2 PUBACK or PUBREC of 0x80 or more acknowledges: nothing is sent again
4.5.0-1 a message is added to the sessions of all who subscribe to it
4.5.0-2 client: acknowledges whatever it gets
4.6.0-1 client: sends again in order
4.6.0-2 client: PUBACKs in the order of the PUBLISHes
4.6.0-3 client: PUBRECs in the order of the PUBLISHes
4.6.0-4 client: PUBRELs in the order of the PUBRECs
4.6.0-5 of one topic and QoS, messages come in the order in which a client sent them
4.6.0-6 topics are ordered for subscriptions that are not shared
4.7.0-1 a topic name has no wildcards
4.7.1-1 # is the last level, alone or behind a slash
4.7.1-2 + has a level of its own
4.7.2-1 filters that begin with a wildcard do not match topics that begin with $
4.7.3-1 topics and filters have at least one character
4.7.3-2 topics and filters have no U+0000
4.7.3-3 topics and filters have at most 65,535 bytes
4.7.3-4 topics are matched without normalization
4.8.2-1 a shared filter is $share/, a name and a filter
4.8.2-2 the name is without /, + and #
4.8.2-3 each member gets messages at the QoS that it was granted
4.8.2-4 a delivery of QoS 2 to a member is completed when it comes back
4.8.2-5 when the member's session ends before, nobody else gets it
4.8.2-6 PUBACK or PUBREC of 0x80 or more discards it for all members
4.9.0-1 the send quota begins with at most the receive maximum
4.9.0-2 with a quota of 0 no PUBLISH above QoS 0 is sent
4.9.0-3 everything else is processed
4.12.0-1 a method that the server does not know may get CONNACK 0x8C, and ends the connection
4.12.0-2 AUTH that asks for more has 0x18; this server has no method that asks
4.12.0-3 client: answers it with AUTH 0x18
4.12.0-4 an authentication may be refused at any step, and ends the connection
4.12.0-5 all AUTHs and CONNACK have the method of CONNECT
4.12.0-6 without a method there is no AUTH and no method in CONNACK
4.12.0-7 client: without a method sends no AUTH
4.12.1-1 client: authenticates again with the same method
4.12.1-2 when that fails the connection ends
4.13.1-1 a malformed packet or a protocol error ends the connection
4.13.2-1 with a reason code of 0x80 or more the connection ends
6.0.0-1 MQTT comes in binary frames; another frame ends the connection
6.0.0-2 packets need not begin where WebSocket frames do
6.0.0-3 client: offers the subprotocol mqtt
6.0.0-4 the server returns the subprotocol mqtt
`
