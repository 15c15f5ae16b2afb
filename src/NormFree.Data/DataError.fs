namespace NormFree.Data

/// <summary>An error in a data set: the place, the problem and the remedy.</summary>
type DataError =
    {
        /// A file or folder, and the position in it.
        Place: string
        /// Without a full stop.
        Problem: string
        /// Without a full stop.
        Remedy: string
    }

    override this.ToString() = NormFree.Formats.Printable.Text $"{this.Place}: {this.Problem}. {this.Remedy}."

module DataError =
    let create place problem remedy = { Place = place; Problem = problem; Remedy = remedy }

    /// The remedy for a truncated or damaged file.
    let downloadAgain = "The file is truncated or damaged: download it again"

    /// <summary>Runs an action that reads files and turns its I/O and format exceptions into errors.</summary>
    let guard place (run: unit -> Result<'a, DataError>) =
        try
            run ()
        with
        | :? System.IO.FileNotFoundException
        | :? System.IO.DirectoryNotFoundException ->
            Error(create place "there is no such file or folder" "Check the path")
        | :? System.UnauthorizedAccessException when System.IO.Directory.Exists place ->
            Error(create place "it is a folder" "Give the path of a file")
        | :? System.UnauthorizedAccessException ->
            Error(create place "reading is not permitted" "Check the file's permissions")
        | :? NormFree.Formats.InvalidFileException as error ->
            Error(create $"{error.File}, {error.Where}" error.What error.Remedy)
        // .NET's message for damaged gzip and deflate data, which names an unsupported method instead.
        | :? System.IO.InvalidDataException as error when error.Message.Contains "unsupported compression" ->
            Error(create place "its compressed data do not match its checksum or are damaged" downloadAgain)
        | :? System.IO.EndOfStreamException
        | :? System.IO.InvalidDataException
        | :? System.FormatException as error -> Error(create place (error.Message.TrimEnd '.') downloadAgain)
        | :? System.IO.IOException as error -> Error(create place (error.Message.TrimEnd '.') "Check the disk")

    /// Both values, or the errors of both.
    let both (first: Result<'a, DataError list>) (second: Result<'b, DataError list>) =
        match first, second with
        | Ok first, Ok second -> Ok(first, second)
        | Error first, Error second -> Error(first @ second)
        | Error errors, Ok _
        | Ok _, Error errors -> Error errors

    /// All values, or all errors.
    let collect results =
        let errors =
            results
            |> List.choose (function
                | Error error -> Some error
                | Ok _ -> None)

        if List.isEmpty errors then
            Ok(results |> List.choose Result.toOption)
        else
            Error errors
