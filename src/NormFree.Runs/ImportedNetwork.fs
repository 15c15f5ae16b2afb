namespace NormFree.Runs

/// <summary>Networks that were imported without a data set. Their classes are named by numbers.</summary>
[<RequireQualifiedAccess>]
module ImportedNetwork =

    /// <summary>The data set's name in the task of such a network.</summary>
    [<Literal>]
    let dataset = "imported"

    /// <summary>Whether the outputs of a network, by the data set and the class names of its task, can be taken as those of another data set in
    /// their order: there are as many, and they have no names of their own.</summary>
    let canHave (classes: string[]) (itsDataset: string) (itsClasses: string[]) =
        itsDataset = dataset && itsClasses.Length = classes.Length
