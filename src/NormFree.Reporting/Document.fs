namespace NormFree.Reporting

/// A table as text: what the HTML page and the Markdown file show alike.
type Table = { Columns: string list; Rows: string list list }

/// How a table is laid out.
type internal TableLayout =
    /// Names in the first columns, so many; numbers in the others.
    | NumbersAfter of int
    | KeysAndValues

/// A number that says much, with what it is and a word about it.
type internal Fact = { Label: string; Value: string; Note: string }

/// Charts as a reader finds them: one, or several small ones that are to be compared and have the same vertical axis.
type internal Figure =
    {
        /// What the file of its picture is called.
        Name: string
        Title: string
        /// How to read it.
        Caption: string
        Charts: Chart list
    }

/// How many things of each class (rows) were taken for each (columns).
type internal Matrix = { Classes: string list; Counts: int list list }

/// Pictures (PNGs in base64) with a text each, under one heading.
type internal Row = { Heading: string; Pictures: (string * string) list }

/// Pictures in rows.
type internal Gallery = { Name: string; Caption: string; Rows: Row list }

/// Whether something is seen at once or must be asked for.
type internal Folding =
    | Open
    | Closed

/// A piece of a report, for whatever kind of page.
type internal Block =
    /// What matters most.
    | Claim of string
    | Text of string
    | Facts of Fact list
    | Tabular of TableLayout * Table
    | Drawing of Figure
    /// Figures that have room beside one another.
    | SideBySide of Figure list
    | Confused of Matrix
    | Examples of Gallery
    /// A command line of the tool, without the tool's name.
    | Command of string list
    | Folded of Folding * heading: string * Block list

/// A part of a report; its name is what links point to.
type internal Section = { Name: string; Title: string; Blocks: Block list }

/// A report before it is HTML or Markdown.
type internal Document = { Title: string; Sections: Section list }
