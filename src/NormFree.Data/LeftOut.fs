namespace NormFree.Data

open NormFree.Formats

/// <summary>Files of a data set that are not used, with the reason.</summary>
type LeftOut =
    {
        /// Paths in the data set.
        Files: string list
        /// Without a full stop.
        Reason: string
        /// Without a full stop; empty if nothing needs to be done.
        Remedy: string
    }

    /// <summary>One line: the count, the reason, the first names and the remedy.</summary>
    override this.ToString() =
        let files = if this.Files.Length = 1 then "1 file is" else $"{this.Files.Length} files are"
        let names = String.concat ", " (Printable.List(List.toArray this.Files))
        let remedy = if this.Remedy = "" then "" else $" {this.Remedy}."
        $"{files} left out: {Printable.Text this.Reason} ({names}).{remedy}"

module internal LeftOut =
    /// Files left out for a reason; nothing if there are none.
    let create reason remedy files =
        match List.ofSeq files with
        | [] -> []
        | files -> [ { Files = List.sort files; Reason = reason; Remedy = remedy } ]
