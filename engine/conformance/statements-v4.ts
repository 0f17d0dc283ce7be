/**
 * The normative statements of MQTT 3.1.1 (OASIS, 29 October 2014), numbered as there, each in our words. `client` marks those that
 * bind clients alone: a server can only answer one that breaks them, and the tests show that answer where there is one. `void` marks
 * those whose condition this server does not meet.
 */
export const STATEMENTS_V4 = `
1.5.3-1 a packet with ill-formed UTF-8 closes the connection
1.5.3-2 a packet with U+0000 in a text closes the connection
1.5.3-3 EF BB BF is a character and is never stripped
2.2.2-1 reserved flags of the fixed header have the listed values
2.2.2-2 other flags close the connection
2.3.1-1 SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 have a packet identifier other than 0
2.3.1-2 client: a new packet has an identifier that is not in use
2.3.1-3 client: a packet sent again keeps its identifier, which is free after its acknowledgement
2.3.1-4 both hold for a server that publishes
2.3.1-5 PUBLISH of QoS 0 has no packet identifier
2.3.1-6 PUBACK, PUBREC and PUBREL have the identifier of their PUBLISH
2.3.1-7 SUBACK and UNSUBACK have the identifier of what they answer
3.1.0-1 the first packet is CONNECT
3.1.0-2 a second CONNECT ends the connection
3.1.2-1 another protocol name is not served as MQTT
3.1.2-2 another protocol level gets CONNACK 0x01 and the end
3.1.2-3 the reserved flag of CONNECT is 0, or the connection ends
3.1.2-4 clean session 0 goes on with the session that is there, or begins one, which is kept
3.1.2-5 for a kept session messages of QoS 1 and 2 are stored while its client is away
3.1.2-6 clean session 1 discards what was kept and keeps nothing
3.1.2-7 retained messages outlive sessions
3.1.2-8 a will is stored and published when the connection ends without DISCONNECT
3.1.2-9 with the will flag, topic and message of the will are there
3.1.2-10 a will is gone once published, or with DISCONNECT
3.1.2-11 without the will flag its QoS and retain flags are 0 and its fields missing
3.1.2-12 without the will flag nothing is published at the end
3.1.2-13 without the will flag the QoS of the will is 0
3.1.2-14 the QoS of a will is not 3
3.1.2-15 without the will flag its retain flag is 0
3.1.2-16 a will without retain is published not retained
3.1.2-17 a will with retain is published retained
3.1.2-18 without the user name flag there is no user name
3.1.2-19 with the user name flag there is a user name
3.1.2-20 without the password flag there is no password
3.1.2-21 with the password flag there is a password
3.1.2-22 without a user name there is no password
3.1.2-23 client: sends PINGREQ when it has nothing else to send within the keep-alive
3.1.2-24 one and a half keep-alives of silence end the connection as if the network had failed
3.1.3-1 the payload's fields come in their order
3.1.3-2 the client identifier names the session
3.1.3-3 the client identifier is the first field of the payload
3.1.3-4 the client identifier is UTF-8
3.1.3-5 identifiers of 1 to 23 letters and digits are taken
3.1.3-6 an empty identifier is replaced by a unique one
3.1.3-7 client: an empty identifier goes with clean session 1
3.1.3-8 an empty identifier with clean session 0 gets CONNACK 0x02 and the end
3.1.3-9 a refused identifier gets CONNACK 0x02 and the end
3.1.3-10 the will's topic is UTF-8
3.1.3-11 the user name is UTF-8
3.1.4-1 a CONNECT that is not as section 3.1 says ends the connection without CONNACK
3.1.4-2 the older connection of the same client ends
3.1.4-3 clean session is carried out
3.1.4-4 a good CONNECT gets CONNACK 0
3.1.4-5 after a refusal nothing that the client sent is processed
3.2.0-1 the server's first packet is CONNACK
3.2.2-1 clean session 1 gets session present 0
3.2.2-2 clean session 0 with a stored session gets session present 1
3.2.2-3 without a stored session, 0
3.2.2-4 with a return code other than 0, session present is 0
3.2.2-5 with a return code other than 0 the connection ends
3.2.2-6 where no return code fits the connection ends without CONNACK
3.3.1-1 DUP is 1 when a PUBLISH is sent again
3.3.1-2 DUP is 0 with QoS 0
3.3.1-3 DUP of what goes out does not depend on what came in
3.3.1-4 QoS 3 ends the connection
3.3.1-5 a PUBLISH with RETAIN is stored with its QoS
3.3.1-6 a new subscription gets the last retained message of each topic that matches
3.3.1-7 RETAIN with QoS 0 discards what was retained
3.3.1-8 what a new subscription gets has RETAIN 1
3.3.1-9 what an established subscription gets has RETAIN 0
3.3.1-10 an empty RETAIN message is delivered and removes what was retained
3.3.1-11 an empty RETAIN message is not stored
3.3.1-12 without RETAIN nothing is stored or removed
3.3.2-1 the topic is PUBLISH's first field, in UTF-8
3.3.2-2 a topic name has no wildcards
3.3.2-3 what a subscriber gets matches its filter
3.3.4-1 a PUBLISH is answered as its QoS says
3.3.5-1 overlapping subscriptions: the greatest QoS of those that match
3.3.5-2 a PUBLISH that is not allowed is acknowledged, or the connection ends
3.6.1-1 PUBREL's flags are 2, or the connection ends
3.8.1-1 SUBSCRIBE's flags are 2, or the connection ends
3.8.3-1 filters are UTF-8
3.8.3-2 a server without wildcards would refuse them; this one has them
3.8.3-3 SUBSCRIBE without a filter ends the connection
3.8.3-4 reserved bits or QoS 3 in SUBSCRIBE end the connection
3.8.4-1 SUBSCRIBE gets SUBACK
3.8.4-2 with the same packet identifier
3.8.4-3 an equal filter replaces the subscription, retained messages come again, nothing is missed
3.8.4-4 several filters are as several SUBSCRIBEs with one SUBACK
3.8.4-5 a return code for each filter: the granted QoS, or a failure
3.8.4-6 delivered is the lesser of the published and the granted QoS
3.9.3-1 return codes are in the order of the filters
3.9.3-2 return codes are 0, 1, 2 or 0x80
3.10.1-1 UNSUBSCRIBE's flags are 2, or the connection ends
3.10.3-1 filters are UTF-8
3.10.3-2 UNSUBSCRIBE without a filter ends the connection
3.10.4-1 filters are compared character by character
3.10.4-2 after UNSUBSCRIBE no further message is added
3.10.4-3 what was begun at QoS 1 or 2 is completed
3.10.4-4 UNSUBSCRIBE gets UNSUBACK with its identifier
3.10.4-5 also when no filter was there
3.10.4-6 several filters are as several UNSUBSCRIBEs with one UNSUBACK
3.12.4-1 PINGREQ gets PINGRESP
3.14.1-1 DISCONNECT's reserved bits are 0, or the connection ends
3.14.4-1 client: closes the connection after DISCONNECT
3.14.4-2 client: sends nothing after DISCONNECT
3.14.4-3 DISCONNECT discards the will
4.1.0-1 a session's state is stored for its whole time
4.1.0-2 a session lasts at least as long as its connection
4.3.1-1 QoS 0 is sent with QoS 0 and DUP 0
4.3.2-1 the sender of QoS 1: a free identifier, DUP 0, unacknowledged until PUBACK
4.3.2-2 the receiver of QoS 1: PUBACK once it owns the message; then the identifier means a new one
4.3.3-1 the sender of QoS 2: a free identifier, DUP 0, PUBREL after PUBREC, no PUBLISH after PUBREL
4.3.3-2 the receiver of QoS 2: PUBREC, no second delivery before PUBREL, PUBCOMP, then a new message
4.4.0-1 after a reconnect what is unacknowledged is sent again with its identifiers
4.5.0-1 a message is added to the sessions of all who subscribe to it
4.5.0-2 client: acknowledges whatever it gets
4.6.0-1 what is sent again keeps its order
4.6.0-2 client: PUBACKs in the order of the PUBLISHes
4.6.0-3 client: PUBRECs in the order of the PUBLISHes
4.6.0-4 client: PUBRELs in the order of the PUBRECs
4.6.0-5 topics are ordered
4.6.0-6 of one topic and QoS, messages come in the order in which a client sent them
4.7.1-1 a topic name has no wildcards
4.7.1-2 # is the last level, alone or behind a slash
4.7.1-3 + has a level of its own
4.7.2-1 filters that begin with a wildcard do not match topics that begin with $
4.7.3-1 topics and filters have at least one character
4.7.3-2 topics and filters have no U+0000
4.7.3-3 topics and filters have at most 65,535 bytes
4.7.3-4 topics are matched without normalization
4.8.0-1 a protocol violation ends the connection
4.8.0-2 an error in passing ends the connection that it hit
6.0.0-1 MQTT comes in binary frames; a text frame ends the connection
6.0.0-2 packets need not begin where WebSocket frames do
6.0.0-3 client: offers the subprotocol mqtt
6.0.0-4 the server returns the subprotocol mqtt
7.0.0-1 void: a server that connects to other servers is a client too; this one connects to none
7.0.0-2 no extension is needed to be served
7.1.1-1 a server has a transport of ordered, lossless bytes
7.1.2-1 client: has one too
`
