// Command peer-go is the chat server as Go's standard library would have it: net/http and
// database/sql with go-sql-driver/mysql, a query per request.
//
// Usage: peer-go PORT DATABASE_URL
package main

import (
	"database/sql"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
)

const (
	// Measured, see bench/peers/README.md.
	connectionsMax = 64

	userCharsMax = 100
	textCharsMax = 65_535
	bodyBytesMax = 1 << 20

	rfc3339Milliseconds = "2006-01-02T15:04:05.000Z"
)

type server struct {
	db *sql.DB
	// Prepared, which needs a tenth less time than InterpolateParams does.
	insert, newest, first *sql.Stmt
	// Names that are stored already, so that only a new one costs an insert.
	names sync.Map
}

type message struct {
	ID        int64  `json:"id"`
	User      string `json:"user"`
	Text      string `json:"text"`
	CreatedAt string `json:"created_at"`
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: peer-go PORT DATABASE_URL")
	}
	location, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	db, err := open(location)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{db: db}
	for query, statement := range map[string]**sql.Stmt{
		"insert into messages (dedup, user, text, created_at) values (?, ?, ?, ?)":   &s.insert,
		"select id, user, text, created_at from messages order by id desc limit 100": &s.newest,
		"select name from users order by name limit 1000":                            &s.first,
	} {
		if *statement, err = db.Prepare(query); err != nil {
			log.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /message", s.post)
	mux.HandleFunc("GET /messages", s.messages)
	mux.HandleFunc("GET /users", s.users)
	log.Fatal(http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Args[1]), mux))
}

// open connects and creates the tables that are absent.
func open(location *url.URL) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.Net = "tcp"
	config.Addr = location.Host
	config.User = location.User.Username()
	config.Passwd, _ = location.User.Password()
	config.DBName = strings.TrimPrefix(location.Path, "/")
	config.ParseTime = true
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connectionsMax)
	// By default all but two connections are closed after each use.
	db.SetMaxIdleConns(connectionsMax)
	for _, file := range []string{"0001_messages.sql", "0002_users.sql"} {
		table, err := os.ReadFile("migrations/mysql/" + file)
		if err != nil {
			return nil, err
		}
		if _, err := db.Exec(string(table)); err != nil {
			return nil, err
		}
	}
	return db, nil
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	var m message
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytesMax)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.User = strings.TrimSpace(m.User)
	if m.User == "" || utf8.RuneCountInString(m.User) > userCharsMax ||
		strings.ContainsFunc(m.User, unicode.IsControl) ||
		utf8.RuneCountInString(m.Text) > textCharsMax {
		http.Error(w, "user or text is not valid", http.StatusUnprocessableEntity)
		return
	}
	err := s.store(&m)
	answer(w, http.StatusCreated, m, err)
}

func (s *server) store(m *message) error {
	if _, known := s.names.Load(m.User); known {
		// One statement is a transaction by itself.
		return insert(s.insert, m)
	}
	transaction, err := s.db.Begin()
	if err != nil {
		return err
	}
	// After a commit this does nothing.
	defer func() { _ = transaction.Rollback() }()
	if _, err := transaction.Exec("insert ignore into users values (?)", m.User); err != nil {
		return err
	}
	if err := insert(transaction.Stmt(s.insert), m); err != nil {
		return err
	}
	if err := transaction.Commit(); err != nil {
		return err
	}
	s.names.Store(m.User, nil)
	return nil
}

// insert adds a row and gives the message its id and time.
func insert(statement *sql.Stmt, m *message) error {
	dedup, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	m.CreatedAt = now.Format(rfc3339Milliseconds)
	result, err := statement.Exec(dedup[:], m.User, m.Text, now)
	if err != nil {
		return err
	}
	m.ID, err = result.LastInsertId()
	return err
}

func (s *server) messages(w http.ResponseWriter, _ *http.Request) {
	messages, err := list(s.newest, func(row *sql.Rows, m *message) error {
		var createdAt time.Time
		err := row.Scan(&m.ID, &m.User, &m.Text, &createdAt)
		m.CreatedAt = createdAt.Format(rfc3339Milliseconds)
		return err
	})
	answer(w, http.StatusOK, map[string][]message{"messages": messages}, err)
}

func (s *server) users(w http.ResponseWriter, _ *http.Request) {
	users, err := list(s.first, func(row *sql.Rows, name *string) error { return row.Scan(name) })
	answer(w, http.StatusOK, map[string][]string{"users": users}, err)
}

func list[T any](query *sql.Stmt, scan func(*sql.Rows, *T) error) ([]T, error) {
	rows, err := query.Query()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		var row T
		if err := scan(rows, &row); err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, rows.Err()
}

func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		log.Print(err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a client that went away.
	_ = json.NewEncoder(w).Encode(body)
}
