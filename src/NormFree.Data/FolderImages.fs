namespace NormFree.Data

/// <summary>How the splits of a folder or archive are chosen.</summary>
type FolderOptions =
    {
        /// The folder of the training images; None to find it by its name.
        TrainSplit: string option
        /// The folder of the test images; None to find it by its name.
        TestSplit: string option
        /// Whether a data set without test images is accepted.
        TestOptional: bool
        /// Whether more than half of a class may be left out.
        AllowLeftOut: bool
        /// Whether classes of unreadable training images are errors. Evaluations read no training images.
        RequireReadable: bool
    }

/// <summary>The images of a folder, archive or set of Parquet files.</summary>
type FolderImages =
    {
        /// Names by label.
        Classes: string[]
        Train: ImageSource
        /// None if the data set has no labelled test images.
        Test: ImageSource option
        /// Width and height of training image i, from its header.
        Size: int -> Result<int * int, string>
        LeftOut: LeftOut list
        /// Whether there are class folders without splits.
        IsFlat: bool
    }
