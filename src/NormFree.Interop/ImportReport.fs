namespace NormFree.Interop

open System

/// <summary>A tensor that is in the file and in the network, and differs.</summary>
type Misfit =
    {
        Key: string
        /// What the file has.
        Found: string
        /// What the network needs.
        Wanted: string
    }

/// <summary>What an import found: nothing is loaded, or left away, without being told here.</summary>
type ImportReport =
    {
        File: string
        Network: string
        /// Tensors that were loaded.
        Loaded: int
        /// Keys of the file that the network has under another name: the file's, the network's.
        Renamed: (string * string) list
        /// Counters of batches that the file lacks, all of them: it is from before PyTorch 0.4.1, and they begin at 0. Evaluation has no use for them.
        Counters: int
        /// The network's keys that the file lacks.
        Missing: string list
        /// The file's keys that the network lacks.
        Unexpected: string list
        Misshapen: Misfit list
    }

    /// <summary>Whether every tensor of the network was loaded, and every tensor of the file was used.</summary>
    member r.IsComplete = r.Missing.IsEmpty && r.Unexpected.IsEmpty && r.Misshapen.IsEmpty

    /// <summary>Everything that does not fit, a line each under headings.</summary>
    member r.Problems: string list =
        let list heading lines =
            if List.isEmpty lines then
                []
            else
                $"{heading} ({lines.Length}):" :: [ for line in lines -> "  " + line ]

        list "missing in the file" r.Missing
        @ list "unexpected in the file" r.Unexpected
        @ list
            "of another shape or type"
            [ for misfit in r.Misshapen -> $"{misfit.Key}: {misfit.Found} in the file, {misfit.Wanted} in the network" ]

    override r.ToString() = String.Join('\n', r.Problems)
