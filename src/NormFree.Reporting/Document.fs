namespace NormFree.Reporting

/// A table of text cells.
type Table = { Columns: string list; Rows: string list list }

/// How a table is laid out.
type internal TableLayout =
    /// This many columns of names, then columns of numbers.
    | NumbersAfter of int
    | KeysAndValues

/// A headline number with its label and a note.
type internal Fact = { Label: string; Value: string; Note: string }

/// One chart, or several small ones with the same vertical axis.
type internal Figure =
    {
        /// Names the file of its picture.
        Name: string
        Title: string
        /// How to read it.
        Caption: string
        Charts: Chart list
    }

/// A confusion matrix: true classes in rows, predicted classes in columns.
type internal Matrix = { Classes: string list; Counts: int list list }

/// Pictures (PNGs in base64) with captions, under one heading.
type internal Row = { Heading: string; Pictures: (string * string) list }

/// Rows of pictures.
type internal Gallery = { Name: string; Caption: string; Rows: Row list }

/// Whether a folded block is open at first.
type internal Folding =
    | Open
    | Closed

/// A block of a report, in HTML or Markdown.
type internal Block =
    /// A main result.
    | Conclusion of string
    /// A reason to mistrust the results.
    | Caution of string
    | Text of string
    | Facts of Fact list
    | Tabular of TableLayout * Table
    | Plotted of Figure
    /// Figures in two columns.
    | SideBySide of Figure list
    | ConfusionTable of Matrix
    | Pictures of Gallery
    /// A command line of the tool, without its name.
    | Command of string list
    | Folded of Folding * heading: string * Block list

/// A section of a report. Its name is the target of links.
type internal Section = { Name: string; Title: string; Blocks: Block list }

/// A report, independent of the output format.
type internal Document = { Title: string; Sections: Section list }
