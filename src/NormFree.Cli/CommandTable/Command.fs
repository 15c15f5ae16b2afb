namespace NormFree.Cli

/// <summary>The words of a command line that belong to no option.</summary>
type Operand =
    {
        Name: string
        About: string
        /// How many are needed at least.
        Least: int
        /// Whether there may be more.
        Many: bool
        /// The words that are accepted; empty if any word is.
        Words: string list
    }

/// <summary>A command of the tool: what it takes, not what it does.</summary>
type Command =
    {
        /// One word, or two: <c>bench train</c>.
        Name: string
        /// One sentence.
        About: string
        Operand: Operand option
        Options: OptionSpec list
        /// Names of the options that must be given.
        Required: string list
        /// Names of the options that <c>--help</c> lists; empty if it lists all.
        Common: string list
    }
