namespace NormFree.Interop

open System
open NormFree.Formats

/// <summary>A tensor whose type or shape differs between file and network.</summary>
type Misfit =
    {
        Key: string
        /// Shape and type in the file.
        Found: string
        /// Shape and kind of numbers in the network.
        Wanted: string
    }

/// <summary>What an import loaded and what it could not load.</summary>
type ImportReport =
    {
        File: string
        Network: string
        /// The number of tensors that were loaded.
        Loaded: int
        /// Pairs of a key in the file and the network's different key.
        Renamed: (string * string) list
        /// The number of batch counters (<c>num_batches_tracked</c>) that a file from before PyTorch 0.4.1 lacks; they start at 0. Evaluation does not use them.
        Counters: int
        /// Keys of the network that the file lacks.
        Missing: string list
        /// Keys of the file that the network lacks.
        Unexpected: string list
        Misshapen: Misfit list
        /// The prefix before every loaded key in the file; empty if there is none.
        Prefix: string
        /// If tensors are missing: the prefix before all keys of the file, which may show what they belong to; empty if there is none.
        CommonPrefix: string
        /// The names of loaded tensors with NaN or infinity.
        NonFinite: string list
        /// What was read of the file. <c>Skipped</c> also lists tensors outside <c>Prefix</c> if the network is complete without them.
        Content: ForeignContent
    }

    /// <summary>Whether every tensor of the network was loaded, and every tensor of the file was used.</summary>
    member r.IsComplete = r.Missing.IsEmpty && r.Unexpected.IsEmpty && r.Misshapen.IsEmpty

    /// <summary>Everything that does not fit: for each kind a heading with the count, then at most ten lines. Names are escaped.</summary>
    member r.Problems: string list =
        let list heading (lines: string list) =
            if lines.IsEmpty then
                []
            else
                $"{heading} ({lines.Length}):" :: [ for line in Printable.List lines -> "  " + line ]

        list "missing in the file" r.Missing
        @ list "unexpected in the file" r.Unexpected
        @ list
            "of another shape or type"
            [ for misfit in r.Misshapen -> $"{misfit.Key}: {misfit.Found} in the file, {misfit.Wanted} in the network" ]
        @ (if r.CommonPrefix = "" then
               []
           else
               [ $"every key of the file starts with {Quoted.Name r.CommonPrefix}" ])
        @ list "with NaN, infinity or numbers beyond float32" r.NonFinite

    override r.ToString() = String.Join('\n', r.Problems)
