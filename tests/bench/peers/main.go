// Go: a goroutine a connection; all lines of a read are answered by one write.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"time"
)

const longest = 65536

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go converse(conn)
	}
}

func converse(conn net.Conn) {
	defer conn.Close()
	in, held := make([]byte, 4096), 0
	var out []byte
	for {
		count, err := conn.Read(in[held:])
		rest := in[:held+count]
		stamp := time.Now().Format(time.ANSIC) // C's ctime, to the byte
		out = out[:0]
		for {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				break
			}
			out = append(out, '[')
			out = append(out, line...)
			out = append(out, "] "...)
			out = append(out, stamp...)
			out = append(out, '\n')
			rest = after
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
		held = copy(in, rest)
		if err != nil || held > longest {
			return
		}
		if held == len(in) {
			in = append(in, make([]byte, len(in))...)
		}
	}
}
